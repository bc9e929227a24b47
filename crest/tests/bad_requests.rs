//! Whatever is wrong in a request is refused with the field's path and the right gRPC code, nothing of it is applied, and
//! the server goes on serving.

mod processes;
mod requests;

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crest_proto::border::{ids_to, number_to};
use crest_proto::v1;
use crest_proto::v1::CreateTransferStatus as Status;
use processes::{Server, folder};
use requests::raw::call;
use requests::{Sender, account, still_serves, transfer};
use tonic::Code;

/// A request that has to be refused as INVALID_ARGUMENT with a text that begins so.
#[track_caller]
fn invalid<T: std::fmt::Debug>(answer: Result<T, tonic::Status>, text: &str) {
    let error = answer.expect_err(text);
    assert_eq!(error.code(), Code::InvalidArgument, "{error:?}");
    assert!(error.message().starts_with(text), "expected '{text}', got '{}'", error.message());
}

#[tokio::test]
async fn a_wrong_request_is_refused_with_its_field() {
    let data = folder();
    let server = Server::dev(3, data.path());
    let mut sender = Sender::with_accounts(&server).await;
    let mut ledger = server.ledger();

    invalid(sender.sends(Vec::new()).await, "transfers: expected 1 to 8190 of them, got 0");
    let many = vec![transfer(9, 1_001, 1_002); 8_191];
    invalid(sender.sends(many).await, "transfers: expected 1 to 8190 of them, got 8191");
    let code = v1::Transfer { code: 65_536, ..transfer(9, 1_001, 1_002) };
    let transfers = vec![transfer(8, 1_001, 1_002), code];
    invalid(sender.sends(transfers).await, "transfers[1].code: expected 0 to 65535, got 65536");
    let request = v1::CreateAccountsRequest { accounts: Vec::new() };
    invalid(ledger.create_accounts(request).await, "accounts: expected 1 to 8190 of them, got 0");
    let request = v1::CreateAccountsRequest { accounts: vec![v1::Account { code: 1 << 20, ..account(7) }] };
    invalid(ledger.create_accounts(request).await, "accounts[0].code: expected 0 to 65535, got 1048576");
    let request = v1::LookupAccountsRequest { ids: Vec::new(), read: None };
    invalid(ledger.lookup_accounts(request).await, "ids: expected 1 to 8190 of them, got 0");
    let request = v1::LookupTransfersRequest { ids: vec![v1::Uint128::default(); 8_191], read: None };
    invalid(ledger.lookup_transfers(request).await, "ids: expected 1 to 8190 of them, got 8191");
    // What came with the wrong field was not applied either.
    let request = v1::LookupTransfersRequest { ids: vec![8_u128.into()], read: None };
    assert_eq!(ledger.lookup_transfers(request).await.expect("a lookup").into_inner().transfers, []);
    still_serves(&server).await;
}

#[tokio::test]
async fn a_wrong_filter_is_refused_with_its_field() {
    let data = folder();
    let server = Server::dev(2, data.path());
    let mut ledger = server.ledger();

    type Change = fn(&mut v1::AccountFilter);
    let cases: [(Change, &str); 9] = [
        (|f| f.account_id = None, "filter.account_id: expected an account's id"),
        (|f| f.limit = 0, "filter.limit: expected 1 to 8190, got 0"),
        (|f| f.limit = 8_191, "filter.limit: expected 1 to 8190, got 8191"),
        (|f| f.code = 65_536, "filter.code: expected 0 to 65535, got 65536"),
        (|f| f.cursor = b"elsewhere".to_vec(), "filter.cursor: expected empty for the first page"),
        (|f| f.direction = 3, "filter.direction: expected DIRECTION_BOTH (0)"),
        (|f| f.order = -1, "filter.order: expected ORDER_OLDEST_FIRST (0)"),
        (
            |f| (f.timestamp_min, f.timestamp_max) = (9, 8),
            "filter.timestamp_max: expected 0, or at least timestamp_min (9)",
        ),
        (|f| f.timestamp_min = u64::MAX, "filter.timestamp_min: expected 0 to 9223372036854775807 ns"),
    ];
    for (change, text) in cases {
        let mut filter = v1::AccountFilter { account_id: number_to(1), limit: 10, ..Default::default() };
        change(&mut filter);
        let request = v1::GetAccountTransfersRequest { filter: Some(filter.clone()) };
        invalid(ledger.get_account_transfers(request).await, text);
        invalid(ledger.get_account_balances(v1::GetAccountBalancesRequest { filter: Some(filter) }).await, text);
    }
    type QueryChange = fn(&mut v1::QueryFilter);
    let cases: [(QueryChange, &str); 6] = [
        (|f| f.rehearsals = 3, "filter.rehearsals: expected REHEARSALS_BOTH (0)"),
        (|f| f.limit = 0, "filter.limit: expected 1 to 8190, got 0"),
        (|f| f.code = u32::MAX, "filter.code: expected 0 to 65535, got 4294967295"),
        (|f| f.cursor = vec![1], "filter.cursor: expected empty for the first page"),
        (|f| f.order = 2, "filter.order: expected ORDER_OLDEST_FIRST (0)"),
        (
            |f| (f.timestamp_min, f.timestamp_max) = (9, 8),
            "filter.timestamp_max: expected 0, or at least timestamp_min (9)",
        ),
    ];
    for (change, text) in cases {
        let mut filter = v1::QueryFilter { limit: 10, ..Default::default() };
        change(&mut filter);
        invalid(ledger.query_accounts(v1::QueryAccountsRequest { filter: Some(filter.clone()) }).await, text);
        invalid(ledger.query_transfers(v1::QueryTransfersRequest { filter: Some(filter) }).await, text);
    }
    invalid(ledger.query_accounts(v1::QueryAccountsRequest { filter: None }).await, "filter: expected a filter");
    let request = v1::GetAccountTransfersRequest { filter: None };
    invalid(ledger.get_account_transfers(request).await, "filter: expected a filter");
    still_serves(&server).await;
}

#[tokio::test]
async fn an_instant_that_no_clock_reaches_soon_is_refused_for_good() {
    let data = folder();
    let server = Server::dev(2, data.path());
    let mut ledger = server.ledger();
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_nanos() as u64;
    for from_followers in [false, true] {
        for timestamp in [now() + 3_600_000_000_000, i64::MAX as u64] {
            let read = Some(v1::ReadAt { timestamp, from_followers });
            let text = format!(
                "read.timestamp: expected an instant at most 10 s in the future, got {timestamp} ns, and it is {}",
                &now().to_string()[..6]
            );
            let began = Instant::now();
            let ids = ids_to(&[1, 2]);
            invalid(ledger.lookup_accounts(v1::LookupAccountsRequest { ids: ids.clone(), read }).await, &text);
            invalid(ledger.lookup_transfers(v1::LookupTransfersRequest { ids, read }).await, &text);
            assert!(began.elapsed() < Duration::from_secs(6), "it is not waited for");
        }
        // Within the bound it is read: an entry takes the shard's time there.
        let timestamp = now() + 1_000_000_000;
        let read = Some(v1::ReadAt { timestamp, from_followers });
        let answer = ledger.lookup_accounts(v1::LookupAccountsRequest { ids: ids_to(&[1]), read }).await;
        assert_eq!(answer.expect("it is read").into_inner().timestamp, timestamp);
    }
    still_serves(&server).await;
}

#[tokio::test]
async fn an_id_that_is_missing_or_impossible_is_refused_for_its_event_alone() {
    let data = folder();
    let server = Server::dev(2, data.path());
    let mut sender = Sender::with_accounts(&server).await;
    let cases = [
        (v1::Transfer { id: None, ..transfer(1, 1_001, 1_002) }, Status::IdMustNotBeZero),
        (transfer(u128::MAX, 1_001, 1_002), Status::IdMustNotBeIntMax),
        (transfer(11, 0, 1_002), Status::DebitAccountIdMustNotBeZero),
        (transfer(12, 1_001, u128::MAX), Status::CreditAccountIdMustNotBeIntMax),
        (transfer(13, 1_001, 1_001), Status::AccountsMustBeDifferent),
        (v1::Transfer { ledger: 0, ..transfer(14, 1_001, 1_002) }, Status::LedgerMustNotBeZero),
        (v1::Transfer { code: 0, ..transfer(15, 1_001, 1_002) }, Status::CodeMustNotBeZero),
        (v1::Transfer { timestamp: 5, ..transfer(16, 1_001, 1_002) }, Status::TimestampMustBeZero),
        (transfer(17, 1_001, 1_002), Status::Created),
    ];
    let (transfers, expected): (Vec<_>, Vec<_>) = cases.into_iter().unzip();
    assert_eq!(sender.sends(transfers).await.expect("refusals are answers"), expected);
    assert_eq!(sender.paid_at(&server).await, 1);
}

#[tokio::test]
async fn a_wrong_request_on_a_stream_does_not_end_the_others() {
    let data = folder();
    let server = Server::dev(2, data.path());
    let _accounts = Sender::with_accounts(&server).await;
    let good = |id| v1::CreateTransfersRequest { transfers: vec![transfer(id, 1_001, 1_002)], independent: false };
    let requests = [
        (1, Some(good(1))),
        (2, None),
        (3, Some(v1::CreateTransfersRequest { transfers: vec![transfer(1, 1, 2); 8_191], independent: true })),
        (4, Some(good(4))),
    ];
    let requests = requests.map(|(request_id, request)| v1::StreamTransfersRequest { request_id, request });
    let mut stream =
        server.ledger().stream_transfers(tokio_stream::iter(requests)).await.expect("a stream").into_inner();
    let mut answers = std::collections::BTreeMap::new();
    while let Some(answer) = stream.message().await.expect("the stream goes on") {
        let text = match answer.outcome.expect("an outcome") {
            v1::stream_transfers_response::Outcome::Response(response) => {
                response.results[0].status().as_str_name().to_owned()
            }
            v1::stream_transfers_response::Outcome::Error(error) => format!("{}: {}", error.code, error.message),
        };
        answers.insert(answer.request_id, text);
    }
    let expected = [
        (1, "CREATE_TRANSFER_STATUS_CREATED"),
        (2, "3: transfers: expected 1 to 8190 of them, got 0"),
        (3, "3: transfers: expected 1 to 8190 of them, got 8191"),
        (4, "CREATE_TRANSFER_STATUS_CREATED"),
    ];
    assert_eq!(answers.iter().map(|(id, text)| (*id, &**text)).collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn bytes_that_are_no_message_are_refused() {
    let data = folder();
    let server = Server::dev(1, data.path());
    let random: Vec<u8> = (0..200_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    // A field that claims more bytes than there are, one of another type, a varint without an end, a message in a message.
    for bytes in
        [vec![0x0a, 200, 1, 2], vec![0x09, 1, 2, 3, 4, 5, 6, 7, 8], vec![0xff; 12], vec![0x0a, 2, 0x0a, 9], random]
    {
        let error = call(&server, "/crest.v1.Ledger/CreateTransfers", bytes).await.expect_err("no message");
        // As gRPC's status codes demand of a message that can't be parsed.
        assert_eq!(error.code(), Code::Internal, "{error:?}");
        assert!(error.message().contains("decode"), "{error:?}");
    }
    let error = call(&server, "/crest.v1.Ledger/MakeMoney", Vec::new()).await.expect_err("no method");
    assert_eq!(error.code(), Code::Unimplemented, "{error:?}");
    still_serves(&server).await;
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused_before_it_is_read() {
    let data = folder();
    let server = Server::dev(1, data.path());
    let bytes = vec![0; crest_proto::MESSAGE_BYTES_MAX + 1];
    let error = call(&server, "/crest.v1.Ledger/CreateTransfers", bytes).await.expect_err("too large");
    assert_eq!(error.code(), Code::OutOfRange, "{error:?}");
    assert!(error.message().contains("4194304"), "{error:?}");
    still_serves(&server).await;
}

#[tokio::test]
async fn who_speaks_no_http_is_not_listened_to() {
    let data = folder();
    let server = Server::dev(1, data.path());
    for bytes in
        [&b"GET / HTTP/1.1\r\nHost: crest\r\n\r\n"[..], b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", b"P"]
    {
        let mut connection = std::net::TcpStream::connect(server.address).expect("a connection");
        connection.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
        connection.write_all(bytes).expect("some bytes");
        // The server may have ended it already.
        let _ = connection.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        // Whatever is said to it, the connection ends.
        let _ = connection.read_to_end(&mut answer);
    }
    still_serves(&server).await;
}
