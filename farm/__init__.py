"""The farm without GPUs: requests, ledger, store, scheduler, ingress, client. Never imports torch."""
