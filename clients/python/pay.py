"""Pays through Crest with nothing but stock gRPC.

    pip install -r requirements.txt
    python pay.py --router 127.0.0.1:7000

Creates two accounts, pays, retries the payment with the same id, and reads everything back. Ends with exit code 0 when
all answers are as expected, and with 1 and a line that says what was not.

`grpc.protos_and_services` compiles the .proto file at run time. A project would generate its stubs once instead:

    python -m grpc_tools.protoc -I ../../proto --python_out=. --grpc_python_out=. crest/v1/ledger.proto
"""

import argparse
import os
import sys
import time
from pathlib import Path

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

sys.path.append(str(Path(__file__).resolve().parents[2] / "proto"))
pb, services = grpc.protos_and_services("crest/v1/ledger.proto")

TIMEOUT_S = 10


def u128(n: int) -> pb.Uint128:
    """A number of 128 bits as the API carries it: two halves."""
    return pb.Uint128(high=n >> 64, low=n & (2**64 - 1))


def number(n: pb.Uint128) -> int:
    """The number in a message; one that is not set is 0."""
    return n.high << 64 | n.low


def new_id() -> int:
    """A new id that sorts by time: 48 bits of milliseconds, then 80 random bits. Ordered ids cost the ledger less."""
    return time.time_ns() // 1_000_000 << 80 | int.from_bytes(os.urandom(10), "big")


def send(create, request):
    """Sends a create request until there is an answer: a broken call may or may not have been applied, and sending the
    same ids again is safe any number of times. What was applied then answers EXISTS."""
    for pause_s in (0.1, 0.5, 2.0):
        try:
            return create(request, timeout=TIMEOUT_S).results
        except grpc.RpcError as error:
            if error.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNIMPLEMENTED):
                raise  # Nothing was applied, and a retry would change nothing.
            time.sleep(pause_s)
    return create(request, timeout=TIMEOUT_S).results


def expect(what: str, got, expected) -> None:
    """Ends the program when an answer is not what it has to be."""
    if got != expected:
        sys.exit(f"{what}: expected {expected!r}, got {got!r}")
    print(f"  {what}: {got}")


def discover(channel: grpc.Channel) -> None:
    print("The router is healthy and describes itself:")
    health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S)
    expect("health", health_pb2.HealthCheckResponse.ServingStatus.Name(health.status), "SERVING")
    reflection = ProtoReflectionDescriptorDatabase(channel)
    expect("serves crest.v1.Ledger", "crest.v1.Ledger" in reflection.get_services(), True)
    method = DescriptorPool(reflection).FindServiceByName("crest.v1.Ledger").FindMethodByName("CreateTransfers")
    expect("CreateTransfers takes", method.input_type.full_name, "crest.v1.CreateTransfersRequest")


def pay(channel: grpc.Channel) -> None:
    ledger = services.LedgerStub(channel)
    alice, bob, payment = new_id(), new_id(), new_id()

    print("Two accounts:")
    flags = pb.AccountFlags(history=True)
    accounts = [pb.Account(id=u128(id), ledger=1, code=10, flags=flags) for id in (alice, bob)]
    results = send(ledger.CreateAccounts, pb.CreateAccountsRequest(accounts=accounts))
    # A call that was sent again after a broken one answers EXISTS: just as good.
    there = (pb.CREATE_ACCOUNT_STATUS_CREATED, pb.CREATE_ACCOUNT_STATUS_EXISTS)
    expect("both are there", [r.status in there for r in results], [True, True])

    print("Alice pays Bob 12.50, in cents:")
    transfer = pb.Transfer(
        id=u128(payment), debit_account_id=u128(alice), credit_account_id=u128(bob), amount=u128(1250), ledger=1, code=1
    )
    request = pb.CreateTransfersRequest(transfers=[transfer])
    [first] = send(ledger.CreateTransfers, request)
    done = (pb.CREATE_TRANSFER_STATUS_CREATED, pb.CREATE_TRANSFER_STATUS_EXISTS)
    expect("done", first.status in done, True)
    [again] = send(ledger.CreateTransfers, request)
    expect("a retry", pb.CreateTransferStatus.Name(again.status), "CREATE_TRANSFER_STATUS_EXISTS")
    expect("with the first timestamp", again.timestamp, first.timestamp)

    print("The money moved once:")
    found = ledger.LookupAccounts(pb.LookupAccountsRequest(ids=[u128(alice), u128(bob)]), timeout=TIMEOUT_S).accounts
    expect("Alice's debits", number(found[0].debits_posted), 1250)
    expect("Bob's credits", number(found[1].credits_posted), 1250)
    [read] = ledger.LookupTransfers(pb.LookupTransfersRequest(ids=[u128(payment)]), timeout=TIMEOUT_S).transfers
    expect("the transfer's amount", number(read.amount), 1250)

    filter = pb.AccountFilter(account_id=u128(bob), limit=100)
    listed = ledger.GetAccountTransfers(pb.GetAccountTransfersRequest(filter=filter), timeout=TIMEOUT_S).transfers
    expect("Bob's transfers", [number(t.id) for t in listed], [payment])
    after = ledger.GetAccountBalances(pb.GetAccountBalancesRequest(filter=filter), timeout=TIMEOUT_S).balances
    expect("Bob's credits after it", [number(b.credits_posted) for b in after], [1250])


def main() -> None:
    arguments = argparse.ArgumentParser(description="Pays through Crest, and checks every answer.")
    arguments.add_argument("--router", default="127.0.0.1:7000", help="host:port of any router")
    router = arguments.parse_args().router
    with grpc.insecure_channel(router) as channel:
        try:
            discover(channel)
            pay(channel)
        except grpc.RpcError as error:
            sys.exit(f"{router}: {error.code().name}: {error.details()}")
    print("All as expected.")


if __name__ == "__main__":
    main()
