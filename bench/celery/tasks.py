"""Syncs as tasks of Celery: the other side of the benchmark "idle syncs" (bench/src/idle.rs).

One task for each sync. It reads the connection's state from PostgreSQL, finds that nothing is new, and writes the state
back. It calls no connector and keeps no history of its runs, so it does less than connectord does.

    tasks.py prepare CONNECTIONS    makes the table of states
    tasks.py queue CONNECTIONS N    queues N syncs, as a beat would: every connection in turn
    celery -A tasks worker          works on them

BENCH_BROKER is the URL of Redis, BENCH_DATABASE the connection string of PostgreSQL.
"""

import os
import sys

import psycopg
from celery import Celery
from celery.signals import worker_process_init

app = Celery("tasks", broker=os.environ["BENCH_BROKER"])
app.conf.update(
    # Nobody asks what a sync returns, and nobody watches events: both would be one more write for each task.
    task_ignore_result=True,
    worker_send_task_events=False,
    # A task is acknowledged when it begins. Acknowledging it at its end is slower, and is what a crash would need.
    task_acks_late=False,
    # Each process fetches tasks ahead, so that it never waits for the broker.
    worker_prefetch_multiplier=64,
)

database = None


def connect():
    return psycopg.connect(os.environ["BENCH_DATABASE"], autocommit=True, prepare_threshold=1)


@worker_process_init.connect
def open_database(**_):
    """One connection for each process of the pool, open for as long as it lives."""
    global database
    database = connect()


@app.task
def sync(connection):
    with database.transaction(), database.cursor() as rows:
        rows.execute("SELECT cursor FROM sync_states WHERE connection = %s FOR UPDATE", (connection,))
        (cursor,) = rows.fetchone()
        rows.execute(
            "UPDATE sync_states SET cursor = %s, synced_at = now(), syncs = syncs + 1 WHERE connection = %s",
            (cursor, connection),
        )


def prepare(connections):
    with connect() as new:
        new.execute(
            "CREATE TABLE sync_states (connection bigint PRIMARY KEY, cursor text NOT NULL,"
            " synced_at timestamptz, syncs bigint NOT NULL DEFAULT 0)"
        )
        new.execute(
            "INSERT INTO sync_states (connection, cursor) SELECT number, '0' FROM generate_series(1, %s) number",
            (connections,),
        )


def queue(connections, syncs):
    with app.producer_pool.acquire(block=True) as producer:
        for number in range(syncs):
            sync.apply_async((number % connections + 1,), producer=producer)


if __name__ == "__main__":
    {"prepare": prepare, "queue": queue}[sys.argv[1]](*map(int, sys.argv[2:]))
