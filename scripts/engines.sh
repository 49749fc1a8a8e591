#!/usr/bin/env bash
# Makes ready what the tests and the demo run on: a Docker Engine, Alertmanager,
# PostgreSQL 15, Redis, nginx, a C compiler (for the race detector) and ip.
# As root on Debian it installs and starts what is missing; elsewhere it names it.
#
#   scripts/engines.sh          all of it
#   scripts/engines.sh docker   only the Docker Engine
set -euo pipefail

declare -A probe=(
	[docker.io]='command -v dockerd || docker info'
	[prometheus-alertmanager]='command -v prometheus-alertmanager'
	[postgresql-15]='test -x /usr/lib/postgresql/15/bin/postgres'
	[redis-server]='command -v redis-server'
	[redis-tools]='command -v redis-cli'
	[nginx-light]='command -v nginx || test -x /usr/sbin/nginx'
	[gcc]='command -v gcc'
	[libc6-dev]='test -e /usr/include/stdlib.h'
	[prometheus]='command -v promtool'
	[e2fsprogs]='command -v mkfs.ext4 || test -x /sbin/mkfs.ext4'
	[iproute2]='command -v ip || test -x /sbin/ip'
)
wanted=("${!probe[@]}")
[ "${1:-all}" = docker ] && wanted=(docker.io)

missing=()
for package in "${wanted[@]}"; do
	bash -c "${probe[$package]}" >/dev/null 2>&1 || missing+=("$package")
done

debian() { [ -e /etc/debian_version ] && command -v apt-get >/dev/null; }

# Debian's packages start a daemon each on its usual port. None is wanted here:
# policy-rc.d answers "not allowed" while they are installed, and PostgreSQL is
# told to make no cluster. Both are put back as they were.
install() {
	local policy=/usr/sbin/policy-rc.d kept=''
	if [ -e $policy ]; then kept=$(mktemp) && cp -p $policy "$kept"; fi
	restore() {
		if [ -n "$kept" ]; then cp -p "$kept" $policy && rm -f "$kept"; else rm -f $policy; fi
	}
	trap restore EXIT
	printf '#!/bin/sh\nexit 101\n' >$policy
	chmod 755 $policy
	if [[ " $* " == *" postgresql-15 "* ]] && [ ! -e /etc/postgresql-common/createcluster.conf ]; then
		mkdir -p /etc/postgresql-common
		echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
	fi
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq
	apt-get install -y -qq --no-install-recommends -o Dpkg::Options::=--force-confold "$@"
	restore
	trap - EXIT
}

if [ ${#missing[@]} -gt 0 ]; then
	if [ "$(id -u)" = 0 ] && debian; then
		echo "installing ${missing[*]}" >&2
		install "${missing[@]}" >&2
	else
		echo "missing: ${missing[*]}" >&2
		echo "install them (as root on Debian: apt-get install ${missing[*]}) and try again" >&2
		exit 1
	fi
fi

reachable() { docker_ping >/dev/null 2>&1; }
docker_ping() {
	local socket=${DOCKER_HOST:-unix:///var/run/docker.sock}
	case $socket in
	unix://*) curl_unix "${socket#unix://}" ;;
	*) docker version ;;
	esac
}
# bash has no unix sockets, and neither curl nor the docker command need be there
curl_unix() {
	if command -v docker >/dev/null; then docker version
	elif command -v curl >/dev/null; then curl -fsS --unix-socket "$1" http://docker/_ping
	else test -S "$1"; fi
}

reachable && exit 0
if [ "$(id -u)" != 0 ]; then
	echo "the Docker Engine does not answer: start it (systemctl start docker), or join the group docker" >&2
	exit 1
fi
echo "starting the Docker Engine" >&2
if [ -d /run/systemd/system ]; then
	systemctl start docker
else
	mkdir -p /var/log
	setsid nohup dockerd >/var/log/dockerd.log 2>&1 </dev/null &
fi
for _ in $(seq 1 120); do
	reachable && exit 0
	sleep 0.5
done
echo "the Docker Engine did not start within 60s; see /var/log/dockerd.log or journalctl -u docker" >&2
exit 1
