#!/usr/bin/env bash
# Makes policy.wasm of policy.py: a component that imports the contract and nothing else (--stub-wasi).
# It needs what requirements.txt names: pip install -r requirements.txt
set -euo pipefail
cd "$(dirname "$0")"
componentize-py --wit-path vendor/landfall/wit/v0_1 --world {{world}} \
  componentize policy --stub-wasi --output policy.wasm
