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
token=$($compose exec -T portal dss-portal users add "$email" --sysadmin | tail -n 1 | awk '{print $NF}' | tr -d '\r')
$compose --profile try run --rm -e DSS_TOKEN="$token" client send /sample/ct.nii.gz --service lung-segmentation \
  --jar /tmp/session --output /sample/results
