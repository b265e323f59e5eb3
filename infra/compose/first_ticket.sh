#!/bin/sh
# first_ticket.sh COMPOSE: the first sysadmin, a token, and the sample CT sent by that user.
set -eu
compose=$1
email=${DSS_FIRST_USER:-root@localhost}

echo "Waiting until lung-segmentation is offered ..."
tries=0
until $compose exec -T portal dss-portal services list 2> /dev/null | grep -q "^lung-segmentation[[:space:]]"; do
  tries=$((tries + 1))
  [ $tries -lt 40 ] || { echo "Nobody offers lung-segmentation: look at the logs of portal and dispatch-lungs."; exit 1; }
  sleep 2
done
$compose --profile try run --rm phantom
# Old engines lose what a command prints now and then; each call makes another token.
token=
tries=0
until [ -n "$token" ]; do
  tries=$((tries + 1))
  [ $tries -le 3 ] || { echo "No token came from the portal: look at its log."; exit 1; }
  token=$($compose exec -T portal dss-portal users add "$email" --sysadmin | tail -n 1 | awk '{print $NF}' | tr -d '\r')
done
$compose --profile try run --rm -e DSS_TOKEN="$token" client send /sample/ct.nii.gz --service lung-segmentation \
  --jar /tmp/session --output /sample/results
