"""Card transactions: decayed and windowed aggregates, and how unusual a payment is for its card."""

from __future__ import annotations

from functools import partial

from config.settings import Settings
from detectors.aggregation.detector import AggregationDetector
from streams.agents.postings import postings_of
from streams.alerts import Promise
from streams.challengers import by_name
from streams.definitions import Definition, nothing_forwarded
from streams.records import decode_cards
from streams.replies import Replies
from streams.training import Trainer


def define(settings: Settings) -> Definition:
    """The stream `cards` under these settings."""
    own = settings.cards
    detector = AggregationDetector(
        epsilon=own.epsilon,
        windows=own.windows,
        modes=own.modes,
        mode_slots=own.mode_slots,
        txgap=own.txgap,
        prior_weight=own.prior_weight,
        normal_days=own.normal_days,
        unusual_ratio=own.unusual_ratio,
        alerts_per_day=own.alerts_per_day / settings.streams.partitions,
        review_cost=own.review_cost,
        fraud_loss=own.fraud_loss,
        fraud_loss_share=own.fraud_loss_share,
        critical_loss=own.critical_loss,
        aggregates=own.aggregates,
        ring_limit=own.ring_limit,
        calibration=own.calibration,
        quiet_units=own.quiet_units,
        key_limit=own.key_limit,
        exponent=own.exponent,
    )
    return Definition(
        name="cards",
        detector=detector,
        decode=lambda chunk: decode_cards(chunk, settings),
        silence=own.silence_seconds,
        promise=Promise(
            words=f"{100 * own.epsilon:.4g} % of transactions",
            budget={"epsilon": own.epsilon},
            unit="transaction",
            guarantee="about epsilon of all transactions, true and false alarms together, while the recent ones resemble the next",
            basis="unusualness: rank among the partition's recent transactions",
        ),
        rate=own.epsilon,
        scores=own.scores,
        packed=detector.features,
        merges=True,
        forward=partial(postings_of, exponent=own.exponent) if own.postings else nothing_forwarded,
        replies=Replies(detector, own.reply_topics),
        train=partial(
            Trainer,
            detector.features,
            delay_hours=own.label_delay_hours,
            relabel_hours=own.relabel_hours,
            rate=own.learning_rate,
            challengers=by_name(own.challengers, detector.features),
        ),
    )
