"""The contract between gateway and worker: messages, codec, sequence, addresses. Imports nothing of ours."""
