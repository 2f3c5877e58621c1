#!/usr/bin/env bash
# A pair's engines for the GPUs of this machine, planned, built and checked:  gpu.sh PAIR [tensorrt|pytorch] [OUTPUT]
#
# The plan stops here when it does not fit. Run it again after a failure: it goes on where it stopped. For the bare
# commands of NVIDIA's tools, without records and resuming:  a1-trt engine plan PAIR --profile tensorrt --script
set -euo pipefail
pair=${1:?usage: gpu.sh PAIR [tensorrt|pytorch] [OUTPUT]}
profile=${2:-pytorch}
home=engines/$pair
[ ! -d "$pair" ] || home=$pair
[ ! -f "$pair" ] || home=$(dirname "$pair")
output=${3:-$home/$profile}
a1-trt engine plan "$pair" --profile "$profile" --output "$output"
a1-trt engine build "$pair" "$output" --profile "$profile"
a1-trt engine check "$output" --pair "$pair"
