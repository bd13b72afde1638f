VENV ?= .venv
help: ; @echo "targets: demo test"
