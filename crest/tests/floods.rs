//! What a client may send, open and leave unread without taking the memory, the file descriptors or the processors of a router:
//! measured on real processes.

#[path = "floods/process.rs"]
mod process;
mod processes;
mod requests;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use crest_proto::border::number_to;
use crest_proto::v1;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use process::{MIB, Process};
use processes::{ANY, ClusterFiles, Server, binary, borrowed, folder, without_settings};
use prost::Message as _;
use requests::raw::{Raw, call};
use requests::{Sender, account, still_serves};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Endpoint;
use tonic::{Code, Request, Status};

/// Events without anything in them, two bytes each, in as large a message as there may be.
const EMPTY_EVENTS: usize = (4 << 20) / 2 - 16;

/// A message with so many empty ones in this field.
fn empties(field: u8, count: usize) -> Vec<u8> {
    [field << 3 | 2, 0].repeat(count)
}

#[tokio::test(flavor = "multi_thread")]
async fn millions_of_events_in_a_request_cost_no_more_than_their_bytes() {
    let data = folder();
    let server = Server::dev(2, data.path());
    still_serves(&server).await;
    let methods = [
        ("/crest.v1.Ledger/CreateTransfers", "transfers"),
        ("/crest.v1.Ledger/CreateAccounts", "accounts"),
        ("/crest.v1.Ledger/LookupAccounts", "ids"),
        ("/crest.v1.Ledger/LookupTransfers", "ids"),
    ];
    let process = Process::of(server.pid());
    let before = process.memory();
    let calls = methods.iter().cycle().take(16).map(|(method, name)| {
        let server = &server;
        async move {
            let error = call(server, method, empties(1, EMPTY_EVENTS)).await.expect_err("too many");
            assert_eq!(error.code(), Code::InvalidArgument, "{method}: {error:?}");
            assert_eq!(error.message(), format!("{name}: expected 1 to 8190 of them, got {EMPTY_EVENTS}"), "{method}");
        }
    });
    join_all(calls).await;
    // One alone took 620 MiB. Sixteen have 64 MiB of bytes.
    let grown = process.memory_peak() - before;
    assert!(grown < 200 * MIB, "16 requests of 4 MiB took {} MiB", grown / MIB);
    still_serves(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn millions_of_events_on_a_stream_are_refused_alone() {
    let data = folder();
    let server = Server::dev(2, data.path());
    let _accounts = Sender::with_accounts(&server).await;
    let good = |request_id: u64| {
        let transfers = vec![requests::transfer(u128::from(request_id), 1_001, 1_002)];
        let request = v1::CreateTransfersRequest { transfers, independent: false };
        v1::StreamTransfersRequest { request_id, request: Some(request) }.encode_to_vec()
    };
    let flood = |request_id: u8| {
        let events = empties(1, EMPTY_EVENTS);
        let mut length = Vec::new();
        prost::encoding::encode_varint(events.len() as u64, &mut length);
        [&[0x08, request_id, 0x12][..], &length, &events].concat()
    };
    let process = Process::of(server.pid());
    let before = process.memory();
    let messages = vec![good(1), flood(2), good(3), flood(4), flood(5), good(6)];
    let mut client = tonic::client::Grpc::new(processes::channel(server.address));
    client.ready().await.expect("the server is there");
    let method = PathAndQuery::from_static("/crest.v1.Ledger/StreamTransfers");
    let answers = client.streaming(Request::new(tokio_stream::iter(messages)), method, Raw).await.expect("a stream");
    let decoded = |bytes: Result<Vec<u8>, Status>| {
        v1::StreamTransfersResponse::decode(&bytes.expect("the stream goes on")[..]).expect("an answer")
    };
    let mut answers: Vec<_> = answers.into_inner().map(decoded).collect().await;
    answers.sort_by_key(|answer| answer.request_id);
    let texts = answers.into_iter().map(|answer| match answer.outcome.expect("an outcome") {
        v1::stream_transfers_response::Outcome::Response(response) => {
            response.results[0].status().as_str_name().to_owned()
        }
        v1::stream_transfers_response::Outcome::Error(error) => format!("{}: {}", error.code, error.message),
    });
    let refusal = format!("3: transfers: expected 1 to 8190 of them, got {EMPTY_EVENTS}");
    let created = "CREATE_TRANSFER_STATUS_CREATED";
    assert_eq!(texts.collect::<Vec<_>>(), [created, &refusal, created, &refusal, &refusal, created]);
    let grown = process.memory_peak() - before;
    assert!(grown < 100 * MIB, "three messages of 4 MiB took {} MiB", grown / MIB);
}

/// Rows of the largest page.
const PAGE: u128 = 8_190;

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_nobody_reads_keep_their_memory_within_bounds_and_payments_going() {
    let data = folder();
    let server = Server::dev(1, data.path());
    let accounts = (1..=PAGE).map(|id| v1::Account { user_data_128: number_to(u128::MAX), ..account(10_000 + id) });
    let request = v1::CreateAccountsRequest { accounts: accounts.collect() };
    server.ledger().create_accounts(request).await.expect("accounts");
    still_serves(&server).await;
    let process = Process::of(server.pid());
    let before = process.memory();

    let filter = v1::QueryFilter { limit: PAGE as u32, ledger: 1, ..Default::default() };
    let query = v1::QueryAccountsRequest { filter: Some(filter) }.encode_to_vec();
    // Each channel is a connection, whose client opens its window for a byte of each answer.
    let connections: Vec<_> = (0..4)
        .map(|_| {
            let endpoint = Endpoint::from_shared(format!("http://{}", server.address)).expect("an address");
            endpoint.initial_stream_window_size(1).connect_lazy()
        })
        .collect();
    let calls = connections.iter().cycle().take(400).map(|channel| {
        let query = query.clone();
        async move {
            let mut client = tonic::client::Grpc::new(channel.clone());
            client.ready().await.expect("the server is there");
            let method = PathAndQuery::from_static("/crest.v1.Ledger/QueryAccounts");
            // As many answers as there may come, so that the first one is not read.
            client.server_streaming(Request::new(query), method, Raw).await.map(tonic::Response::into_inner)
        }
    });
    let answers = join_all(calls).await;
    let (unread, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert!(unread.len() >= 8, "{} of 400 reads were let in", unread.len());
    assert!(!refused.is_empty(), "400 pages of more than a MiB do not fit");
    for error in refused.into_iter().filter_map(Result::err) {
        assert_eq!(error.code(), Code::ResourceExhausted, "{error:?}");
        assert!(error.message().contains("requests and answers of reads under way"), "{error:?}");
    }
    // They hold their memory for as long as nobody reads them; payments have memory of their own.
    for _ in 0..20 {
        still_serves_payments(&server).await;
    }
    let grown = process.memory_peak() - before;
    assert!(grown < 400 * MIB, "400 pages that nobody reads took {} MiB", grown / MIB);
    drop(unread);
    // What they held is free again.
    let until = Instant::now() + Duration::from_secs(20);
    while let Err(error) =
        server.ledger().query_accounts(v1::QueryAccountsRequest::decode(&query[..]).expect("it is one")).await
    {
        assert!(Instant::now() < until, "reads are still refused: {error:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A payment, without a read.
async fn still_serves_payments(server: &Server) {
    let transfers = vec![requests::transfer(77, 10_001, 10_002)];
    let request = v1::CreateTransfersRequest { transfers, independent: false };
    server.ledger().create_transfers(request).await.expect("payments have memory of their own");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_has_sixteen_streams_at_a_time() {
    let data = folder();
    let server = Server::dev(1, data.path());
    let ledger = server.ledger();
    let open = || async {
        let (requests, stream) = tokio::sync::mpsc::channel::<v1::StreamTransfersRequest>(1);
        let stream = tokio_stream::wrappers::ReceiverStream::new(stream);
        ledger.clone().stream_transfers(stream).await.map(|answers| (requests, answers.into_inner()))
    };
    let mut streams = Vec::new();
    for _ in 0..16 {
        streams.push(open().await.expect("one of sixteen"));
    }
    let error = open().await.map(drop).expect_err("one too many");
    assert_eq!(error.code(), Code::ResourceExhausted, "{error:?}");
    assert!(error.message().starts_with("this connection has 16 streams open already"), "{error:?}");
    // Other connections have their own, and one that ends makes room.
    still_serves(&server).await;
    server.ledger().stream_transfers(tokio_stream::empty()).await.expect("another connection");
    drop(streams.pop());
    let until = Instant::now() + Duration::from_secs(10);
    while open().await.is_err() {
        assert!(Instant::now() < until, "the place of a stream that has ended is free");
    }
}

/// The beginning of every HTTP/2 connection, and empty settings.
const HANDSHAKE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A connection, with so much said.
fn connection(address: SocketAddr, said: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.write_all(said).expect("a few bytes");
    stream
}

/// Whether the other end closes it within this time.
fn is_closed_within(stream: &mut TcpStream, patience: Duration) -> bool {
    let until = Instant::now() + patience;
    let mut bytes = [0; 4_096];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        stream.set_read_timeout(Some(left)).expect("a timeout");
        match stream.read(&mut bytes) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            Err(_) => return true,
        }
    }
}

#[test]
fn a_connection_that_does_not_begin_to_speak_is_closed_and_an_idle_one_is_not() {
    let data = folder();
    let server = Server::dev(1, data.path());
    let mut half_open: Vec<TcpStream> =
        [0, 1, HANDSHAKE.len() - 1].map(|said| connection(server.address, &HANDSHAKE[..said])).into();
    let mut idle = connection(server.address, HANDSHAKE);
    assert!(!is_closed_within(&mut half_open[0], Duration::from_secs(5)), "it has some time");
    for stream in &mut half_open {
        assert!(is_closed_within(stream, Duration::from_secs(30)), "it is closed after 10 s");
    }
    assert!(!is_closed_within(&mut idle, Duration::from_secs(1)), "an idle connection stays open");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_without_file_descriptors_waits_in_peace_and_serves_whom_it_has() {
    let files = ClusterFiles::new(1);
    let _node = files.node(0);
    let metrics = processes::free_addresses(1)[0];
    let arguments = files.router_arguments(ANY.parse().expect("an address"));
    let mut command = without_settings(Command::new("sh"));
    command.args(["-c", "ulimit -n 64; exec \"$0\" \"$@\""]).arg(binary()).args(borrowed(&arguments));
    command.args(["--metrics", &metrics.to_string()]);
    let mut server = Server::launch_as(command);
    server.ready().expect("it starts");
    let mut sender = Sender::with_accounts(&server).await;
    sender.pays().await;

    // Half of its descriptors are for connections: the others are closed at once.
    let mut many: Vec<TcpStream> = (0..120).map(|_| connection(server.address, HANDSHAKE)).collect();
    let closed = many[60..].iter_mut().map(|stream| is_closed_within(stream, Duration::from_secs(5)));
    let closed = closed.filter(|closed| *closed).count();
    assert_eq!(closed, 60, "the last ones are more than 32");
    assert!(!is_closed_within(&mut many[0], Duration::from_millis(100)), "the first one is open");
    // The port of the metrics takes none of the others either.
    let _scrapes: Vec<TcpStream> = (0..60).map(|_| connection(metrics, b"GET")).collect();
    let process = Process::of(server.pid());
    let before = process.cpu();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let used = process.cpu() - before;
    assert!(used < Duration::from_millis(400), "it used {used:?} of a second");
    for _ in 0..10 {
        sender.pays().await;
    }
    assert!(server.log().contains("closed at once"), "{}", server.log());
    assert!(server.log().matches("closed at once").count() <= 3, "{}", server.log());
}
