module connector-my-service

go 1.26.0

require github.com/superfasttt/connectors/connector-sdk/go v0.0.0

replace github.com/superfasttt/connectors/connector-sdk/go => ../../../../connector-sdk/go
