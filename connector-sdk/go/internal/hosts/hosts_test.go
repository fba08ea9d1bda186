package hosts

import (
	"net/url"
	"testing"
)

func TestOnlyTheHostsNamedArePermitted(t *testing.T) {
	allowed := Allowed{"api.example.com", "*.wild.example", "port.example:8443"}
	for address, permitted := range map[string]bool{
		"https://api.example.com/x":     true,
		"http://API.Example.com:8080/":  true,
		"https://api.example.com./":     true,
		"https://x.api.example.com/":    false,
		"https://api.example.com.evil/": false,
		"https://a.wild.example/":       true,
		"https://a.b.wild.example/":     true,
		"https://wild.example/":         false,
		"https://evilwild.example/":     false,
		"https://port.example:8443/":    true,
		"https://port.example/":         false,
		"https://api.example.com@evil/": false,
		"ftp://api.example.com/":        false,
		"file:///etc/passwd":            false,
		"https://[::1]/":                false,
		"https://":                      false,
	} {
		parsed, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		if allowed.Permits(parsed) != permitted {
			t.Errorf("%s: %t", address, !permitted)
		}
	}
}

func TestAddressesOfThisMachineAndOfPrivateNetworksAreNotPublic(t *testing.T) {
	for address, public := range map[string]bool{
		"93.184.216.34:443": true, "[2606:2800:220:1::1]:443": true,
		"127.0.0.1:80": false, "10.1.2.3:80": false, "192.168.1.1:80": false, "172.16.0.1:80": false, "169.254.169.254:80": false,
		"0.0.0.0:80": false, "0.1.2.3:80": false, "100.64.0.1:80": false, "224.0.0.1:80": false, "255.255.255.255:80": false,
		"[::1]:80": false, "[::]:80": false, "[fe80::1%eth0]:80": false, "[fd00::1]:80": false, "[::ffff:127.0.0.1]:80": false, "[ff02::1]:80": false,
		"name:80": false,
	} {
		if IsPublic(address) != public {
			t.Errorf("%s: %t", address, !public)
		}
	}
}
