from __future__ import annotations

import pytest
from aiokafka.errors import MessageSizeTooLargeError, UnknownTopicOrPartitionError
from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis import strategies as st
from kafka.partitioner.default import murmur2

from streams.transport.broker import MAX_RECORD_BYTES, Broker, partition_of_key


@given(st.binary(max_size=40), st.integers(1, 64))
def test_a_key_goes_where_kafkas_clients_put_it(key, partitions):
    everywhere = list(range(partitions))

    computed = partition_of_key(key, partitions)

    assert computed == DefaultPartitioner()(key, everywhere, everywhere)
    assert computed == (murmur2(key) & 0x7FFFFFFF) % partitions


def test_keys_of_javas_own_test_have_javas_hash():
    # org.apache.kafka.common.utils.UtilsTest.testMurmur2
    reference = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536}

    for key, java in reference.items():
        assert partition_of_key(key, 1 << 31) == java & 0x7FFFFFFF


def test_records_without_a_key_take_turns():
    broker = Broker("test")
    broker.create_topic("topic", 3)

    assert [broker.produce("topic", None, b"").partition for _ in range(6)] == [0, 1, 2, 0, 1, 2]


def test_a_record_says_where_it_landed_and_is_there():
    broker = Broker("test", clock=lambda: 1.5)
    broker.create_topic("topic", 2)

    first = broker.produce("topic", b"k", b"v", [("h", None)], partition=1)
    second = broker.produce("topic", b"k", None, timestamp_ms=7, partition=1)

    assert first == ("topic", 1, 0, 1500)
    assert second == ("topic", 1, 1, 7)
    assert broker.end_offset("topic", 1) == 2
    assert broker.end_offset("topic", 0) == broker.begin_offset("topic", 0) == 0
    assert broker.read("topic", 1) == [("topic", 1, 0, 1500, b"k", b"v", (("h", None),)), ("topic", 1, 1, 7, b"k", None, ())]
    assert broker.read("topic", 1, offset=1, limit=1)[0].timestamp_ms == 7


@pytest.mark.parametrize(("topic", "partition"), [("other", 0), ("topic", 2), ("topic", -1)])
def test_a_place_that_does_not_exist_is_named(topic, partition):
    broker = Broker("test")
    broker.create_topic("topic", 2)

    with pytest.raises(UnknownTopicOrPartitionError, match=r"has no topic 'other'|has partitions 0 to 1"):
        broker.produce(topic, None, b"", partition=partition)


@pytest.mark.parametrize("headers", [(), [("h", b"x")]])
def test_a_record_that_kafka_would_refuse_is_refused(headers):
    broker = Broker("test")
    broker.create_topic("topic")

    with pytest.raises(MessageSizeTooLargeError, match="bytes for topic: at most 1048576 bytes may be sent"):
        broker.produce("topic", b"k", bytes(MAX_RECORD_BYTES), headers)
    broker.produce("topic", b"k", bytes(MAX_RECORD_BYTES - 200), headers)

    assert broker.end_offset("topic", 0) == 1


def test_a_topic_may_be_made_twice_but_not_with_other_partitions():
    broker = Broker("test")
    broker.create_topic("topic", 2)
    broker.create_topic("topic", 2)

    with pytest.raises(ValueError, match="topic topic exists with 2 partitions, wanted 3"):
        broker.create_topic("topic", 3)
    with pytest.raises(ValueError, match="partitions = 0: wanted at least 1"):
        broker.create_topic("none", 0)


def test_a_broker_is_found_by_its_name_until_it_is_forgotten():
    found = Broker.named("Test-Registry")

    assert Broker.named("test-registry") is found
    Broker.forget("test-registry")
    assert Broker.named("test-registry") is not found
    Broker.forget("test-registry")


def test_who_waits_for_a_partition_is_woken_once():
    broker, woken = Broker("test"), []
    broker.create_topic("topic", 2)
    broker.wake_once([("topic", 0)], lambda: woken.append(broker.end_offset("topic", 0)))

    for partition in (1, 0, 0):
        broker.produce("topic", None, b"", partition=partition)

    assert woken == [1]
