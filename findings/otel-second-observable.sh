#!/usr/bin/env bash
# opentelemetry-sdk 1.45.2: the callbacks of a second observable instrument of one name and one meter are dropped.
#
# Two parts of a program that each make the gauge "queue.size" with the same meter, and report a worker of their own
# each, are two callbacks of one metric. The SDK returns the instrument that was made first, and never calls the second
# callback. There is no warning and no error: the second worker is missing from the metric. With two meters both are
# there. Instruments that are not observable have no such trap, since both callers get the same object to add to.
#
# Output seen:
#   same meter: ['a']
#   two meters: ['a', 'b']
#
# Exits 1 if that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opentelemetry-sdk==1.45.2 2>/dev/null
cat >"$folder/gauges.py" <<'PY'
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader


def workers_seen(*meters):
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    for meter, worker in zip(meters, "ab", strict=True):

        def observe(_options, worker=worker):
            return [Observation(1, {"worker": worker})]

        provider.get_meter(meter).create_observable_gauge("queue.size", callbacks=[observe])
    scopes = [scope for one in reader.get_metrics_data().resource_metrics for scope in one.scope_metrics]
    points = [point for scope in scopes for metric in scope.metrics for point in metric.data.data_points]
    return sorted(point.attributes["worker"] for point in points)


print("same meter:", workers_seen("app", "app"))
print("two meters:", workers_seen("app", "other"))
PY
"$folder/venv/bin/python" "$folder/gauges.py" 2>&1 | tee "$folder/seen"
diff "$folder/seen" - <<'SEEN'
same meter: ['a']
two meters: ['a', 'b']
SEEN
