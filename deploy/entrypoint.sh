#!/bin/sh
# Entry point of the image: the arguments are the program's. Charts written for other images name the program as well
# (`vault server -dev`); that name is dropped. What listens inside a container needs VAULT_ADDR to be spoken to there.
set -eu
case "${1:-}" in
    vault | leasehold) shift ;;
esac
# `vault`, not `leasehold`: probes and stop hooks look for a process of that name
exec vault "$@"
