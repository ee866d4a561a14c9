#!/bin/sh
# Coding assistant for 60 developers: openai/gpt-oss-120b, weights mxfp4, engine vllm.
# Report of 2026-11-30, team file coding_assistant.toml, run 1ce090eb1a1d10e0.
# 2 replicas (1 spare) x tensor parallel 2 = 4 x NVIDIA L40S, on 2 x 2x L40S server, 256 GB.
# serve.sh starts one replica; compose.yaml the only one of one server.
# Another balancer with least connections belongs in front of the servers.
# The settings are those of the sizing: whoever changes one has another plan.
# No key is asked for: keep the port inside, or put the house's gateway in front.
set -eu
export CUDA_VISIBLE_DEVICES="${CUDA_VISIBLE_DEVICES:-0,1}"
exec vllm serve openai/gpt-oss-120b \
  --served-model-name openai/gpt-oss-120b \
  --tensor-parallel-size 2 \
  --max-model-len 32768 \
  --max-num-seqs 256 \
  --max-num-batched-tokens 8192 \
  --enable-chunked-prefill \
  --gpu-memory-utilization 0.9 \
  --kv-cache-dtype auto \
  --enable-prefix-caching \
  --host 0.0.0.0 \
  --port 8000
