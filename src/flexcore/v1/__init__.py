"""The wire: modules generated from protos/flexcore/v1 when flexcore is built."""
