#!/bin/sh
# What the tests in containers need of a Debian or Ubuntu machine, installed where it is lacking; takes root.
set -eu
packages="podman runc netavark aardvark-dns iptables catatonit debootstrap git npm iproute2"
[ "$(id -u)" = 0 ] || { echo "The tests in containers take root: images are built from Debian's packages, with no registry."; exit 1; }
lacking=
for package in $packages; do
  case "$package" in
    netavark | aardvark-dns) [ -x "/usr/lib/podman/$package" ] || command -v "$package" > /dev/null ;;
    iproute2) command -v ip > /dev/null ;;
    *) PATH=$PATH:/usr/sbin command -v "$package" > /dev/null ;;
  esac || lacking="$lacking $package"
done
[ -n "$lacking" ] || exit 0
command -v apt-get > /dev/null || { echo "The tests in containers need these programs, and there is no apt-get to install them:$lacking"; exit 1; }
apt-get -qq update
DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install $lacking > /dev/null \
  || { echo "The tests in containers need these packages, which apt-get does not install here:$lacking"; exit 1; }
