//! The page with the metrics, for Prometheus: one request a connection, over HTTP/1.1.

use std::net::SocketAddr;
use std::time::Duration;

use crest_server::accept::Accept;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{interval, timeout};

/// Connections at a time: a few Prometheus servers, and people who look.
const CONNECTIONS_MAX: usize = 8;
/// How long a request and its answer may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a request's head.
const HEAD_BYTES_MAX: usize = 8 << 10;
/// How often samples of histograms are moved out of their buffers, which grow meanwhile.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Serves the page at `http://ADDRESS/metrics` for as long as the process runs. Must be called inside a tokio runtime.
pub(super) fn serve(address: SocketAddr, page: PrometheusHandle) -> std::io::Result<()> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let mut accept = Accept::new(TcpListener::from_std(listener)?, CONNECTIONS_MAX, "metrics");
    let upkeep = page.clone();
    tokio::spawn(async move {
        let mut ticks = interval(UPKEEP_INTERVAL);
        loop {
            ticks.tick().await;
            upkeep.run_upkeep();
        }
    });
    tokio::spawn(async move {
        while let Some((stream, place)) = accept.next().await {
            let page = page.clone();
            tokio::spawn(async move {
                // Whoever does not ask in time, or goes away, asks again.
                let _ = timeout(REQUEST_TIMEOUT, answer(stream, page)).await;
                drop(place);
            });
        }
    });
    Ok(())
}

async fn answer(mut stream: TcpStream, page: PrometheusHandle) -> std::io::Result<()> {
    let Some(head) = head(&mut stream).await? else { return Ok(()) };
    let (status, body) = match request_of(&head) {
        Some(("GET", "/metrics" | "/")) => {
            // It takes some milliseconds, and payments go on meanwhile.
            let rendered = tokio::task::spawn_blocking(move || page.render()).await;
            ("200 OK", rendered.map_err(std::io::Error::other)?)
        }
        Some(("GET", "/health")) => ("200 OK", "OK".to_owned()),
        Some(("GET", _)) => ("404 Not Found", "the metrics are at /metrics\n".to_owned()),
        Some(_) => ("405 Method Not Allowed", "expected GET /metrics\n".to_owned()),
        None => ("400 Bad Request", "expected GET /metrics\n".to_owned()),
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}

/// The head of a request, up to the empty line; none when it ends before, or is longer than any.
async fn head(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Option<Vec<u8>>> {
    let mut head = Vec::new();
    while !head.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        if head.len() >= HEAD_BYTES_MAX || stream.read_buf(&mut head).await? == 0 {
            return Ok(None);
        }
    }
    Ok(Some(head))
}

/// The method and the path of a request, without what follows a question mark.
fn request_of(head: &[u8]) -> Option<(&str, &str)> {
    let line = head.split(|byte| *byte == b'\r').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    let is_http = words.next().is_none() && version.starts_with("HTTP/1.");
    is_http.then(|| (method, target.split('?').next().unwrap_or(target)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_of_a_request_is_read() {
        let cases = [
            ("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", Some(("GET", "/metrics"))),
            ("GET /metrics?name[]=up HTTP/1.0\r\n\r\n", Some(("GET", "/metrics"))),
            ("POST / HTTP/1.1\r\n\r\n", Some(("POST", "/"))),
            ("GET /metrics\r\n\r\n", None),
            ("GET /a b HTTP/1.1\r\n\r\n", None),
            ("\r\n\r\n", None),
        ];
        for (head, expected) in cases {
            assert_eq!(request_of(head.as_bytes()), expected, "{head:?}");
        }
        assert_eq!(request_of(b"GET \xff HTTP/1.1\r\n\r\n"), None);
    }

    #[tokio::test]
    async fn a_head_without_an_end_is_not_read_for_ever() {
        let (mut whole, endless) = (&b"GET / HTTP/1.1\r\n\r\n"[..], vec![b'a'; 4 * HEAD_BYTES_MAX]);
        assert_eq!(head(&mut whole).await.unwrap().unwrap().len(), 18);
        assert_eq!(head(&mut &endless[..]).await.unwrap(), None);
        assert_eq!(head(&mut &b"GET"[..]).await.unwrap(), None);
    }
}
