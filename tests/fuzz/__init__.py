"""Every decoder, fed with what nobody should send: `python -m tests.fuzz --minutes 60`; a short form is in `make test`."""
