"""A Kubernetes cluster out of plain processes: etcd, API server, controllers, scheduler, and nodes that kwok pretends.

Everything is built from the Go modules pinned beside this file and listens on 127.0.0.1. Pods become ready without a
container being run, so nothing here tests what happens inside one. `make cluster` starts one for people.
"""
