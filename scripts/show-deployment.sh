#!/usr/bin/env bash
# Prints what a deployment answers and how to reach it: show-deployment.sh .deploy/NAME
set -euo pipefail
outputs=$1/outputs.json

value() { python -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$outputs" "$1"; }

endpoint=$(value api_gateway_endpoint)
ca=${LOCAL_AWS_DIR:-.local-aws}/ca.pem
echo "==> GET $endpoint/metrics"
# The header comes from a file, so that the token is not in a process list.
metrics=$(curl --silent --show-error --fail --cacert "$ca" --header @<(printf 'Authorization: Bearer %s' "$(cat "$(value metrics_token_file)")") \
    "$endpoint/metrics")
grep -E '^mlflow_(mse|accuracy)_[a-z]+\{run_id="' <<<"$metrics" | head -n 12
# As a shell reads them back.
printf -v quoted_ca %q "$ca"
printf -v quoted_token %q "$(value metrics_token_file)"
# The file exists only if monitoring is on.
monitoring=
if [ -e "$1/monitoring.env" ]; then
    monitoring=$'\n'"Prometheus    $(value prometheus_url)  (user and password: $1/monitoring.env)"
fi
cat <<END

api_gateway_endpoint = $endpoint
ec2_public_ip = $(value ec2_public_ip)

MLflow        $(value mlflow_tracking_uri)  (user and password: $1/mlflow.env, certificate: $1/ca.pem)$monitoring
metrics       curl --cacert $quoted_ca -H "Authorization: Bearer \$(cat $quoted_token)" $endpoint/metrics
host          $(value ssh_command)
experiments   set -a; . $1/mlflow.env; set +a; .venv/bin/python models/train.py models/configs/random_forest.json
the end       make down
END
