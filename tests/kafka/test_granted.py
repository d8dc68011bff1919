"""Topics that others have made and guard: what is missing is named, and how it is granted."""

from __future__ import annotations

import pytest
from kafka import KafkaAdminClient
from kafka.admin import ACL, ACLOperation, ACLPermissionType, ResourcePattern, ResourceType

from config.load import load
from streams import topics
from streams.cli import granted
from streams.topic_settings import wanted_topics
from tests.kafka.broker import Guarded, Kafka, NoKafka
from tests.kafka.commands import here, installation
from tests.kafka.conftest import no_broker

ACCESS_LISTS = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users": "User:ANONYMOUS",  # whoever comes by the listener that asks nobody who he is
}


@pytest.fixture(scope="module")
def kafka_with_lists():
    try:
        broker = Kafka(ACCESS_LISTS, guarded=Guarded("ann", "open-sesame"))
    except NoKafka as reason:
        no_broker(str(reason))
    with broker:
        yield broker


def grant(admin, kind, name, *operations):
    pattern = ResourcePattern(kind, name)
    admin.create_acls([ACL("User:ann", "*", getattr(ACLOperation, each.upper()), ACLPermissionType.ALLOW, pattern) for each in operations])


def test_what_access_lists_do_not_grant_is_named_until_it_is_granted(kafka_with_lists):
    login = {
        "NILOMETER_KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "NILOMETER_KAFKA__SASL_USERNAME": "ann",
        "NILOMETER_KAFKA__SASL_PASSWORD": "open-sesame",
    }
    with installation(kafka_with_lists.address, "employees") as others:
        here("topics", "create", **others)
        ours = {**others, **login, "NILOMETER_KAFKA__BOOTSTRAP_SERVERS": kafka_with_lists.addresses["SASL_PLAINTEXT"]}
        settings = load(environment=ours)
        source, cuts = (settings.kafka.prefix + name for name in (topics.source("employees"), topics.cuts("employees")))
        said = here("topics", "check", code=2, **ours)
        assert f"topic {source}: we may not read: kafka-acls.sh --add --allow-principal … --operation Read --topic {source}" in said
        assert f"topic {cuts}: we may not read or write" in said
        admin = KafkaAdminClient(bootstrap_servers=kafka_with_lists.address)
        try:
            needed = granted.needed(settings, wanted_topics(settings, settings.streams.enabled))
            for topic, operations in needed.items():
                grant(admin, ResourceType.TOPIC, topic, *operations[:1])
            said = here("topics", "check", code=2, **ours)
            assert f"topic {source}:" not in said
            assert f"topic {cuts}: we may not write: " in said
            assert f"group {granted.groups(settings)[0]}: we may not join it" in said
            for topic, operations in needed.items():
                grant(admin, ResourceType.TOPIC, topic, *operations)
            grant(admin, ResourceType.GROUP, granted.groups(settings)[0], "read")
            said = here("topics", "check", **ours)
            assert f"note: the settings of {len(needed)} topics are not checked" in said
            assert "may be read and written" in said
            for topic in needed:
                grant(admin, ResourceType.TOPIC, topic, "describe_configs")
            assert "not checked" not in here("topics", "check", **ours)
        finally:
            admin.close()


def test_sources_that_forget_or_are_compacted_are_told(kafka):
    from kafka.admin import ConfigResource, ConfigResourceType

    with installation(kafka, "errors") as environment:
        here("topics", "create", **environment)
        prefix = environment["NILOMETER_KAFKA__PREFIX"]
        admin = KafkaAdminClient(bootstrap_servers=kafka)
        try:

            def alter(topic, **configs):
                values = {name.replace("_", "."): value for name, value in configs.items()}
                admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, prefix + topic, configs=values)])

            alter("model.errors", retention_ms="3600000")
            alter("alerts.errors", max_message_bytes="1000")
            said = here("topics", "check", code=2, **environment)
            assert f"topic {prefix}alerts.errors has max.message.bytes = 1000, wanted at least 1000000" in said
            admin.alter_configs(
                [ConfigResource(ConfigResourceType.TOPIC, prefix + "alerts.errors", configs={"max.message.bytes": "1048588"})]
            )
            said = here("topics", "check", **environment)
            assert f"note: topic {prefix}model.errors keeps records for 1.0 h" in said
            alter("model.errors", cleanup_policy="compact")
            assert f"topic {prefix}model.errors is compacted" in here("topics", "check", code=2, **environment)
        finally:
            admin.close()


def test_the_list_of_topics_asks_nobody():
    said = here("topics", "list", "--streams", "cards", NILOMETER_KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:1", NILOMETER_KAFKA__PREFIX="a.")
    lines = dict(line.split("\t", 1) for line in said.splitlines())
    assert lines["a.card.transactions"] == "4\tRead\t-"
    assert lines["a.nilometer.cuts.cards"].startswith("4\tRead,Write\tcleanup.policy=delete retention.ms=-1")
    assert lines["a.employee.postings"] == "4\tRead,Write\t-"
    assert lines["group a.nilometer"] == "-\tRead\t-"
