// Package hosts says where a connector may send requests.
package hosts

import (
	"net/netip"
	"net/url"
	"strings"
)

// Allowed is the manifest's allowed_hosts: api.example.com, *.example.com, each perhaps with :port. Without one any port is
// meant.
type Allowed []string

// IsHTTP says whether an address is one to send requests to at all.
func IsHTTP(address *url.URL) bool {
	return (address.Scheme == "http" || address.Scheme == "https") && address.Hostname() != ""
}

// Permits says whether a request may go there. An empty list permits any name; the addresses behind it are then checked by
// IsPublic.
func (a Allowed) Permits(address *url.URL) bool {
	if !IsHTTP(address) {
		return false
	}
	if len(a) == 0 {
		return true
	}
	for _, pattern := range a {
		if matches(pattern, address) {
			return true
		}
	}
	return false
}

func matches(pattern string, address *url.URL) bool {
	name, port, hasPort := strings.Cut(strings.ToLower(pattern), ":")
	if hasPort && port != Port(address) {
		return false
	}
	host := strings.TrimSuffix(strings.ToLower(address.Hostname()), ".")
	if suffix, isWildcard := strings.CutPrefix(name, "*"); isWildcard {
		return strings.HasSuffix(host, suffix) && len(host) > len(suffix)
	}
	return host == name
}

// Port is the one of an address, also where its scheme says it.
func Port(address *url.URL) string {
	if port := address.Port(); port != "" {
		return port
	}
	if address.Scheme == "http" {
		return "80"
	}
	return "443"
}

// SameHost says whether two addresses are of one host, port included.
func SameHost(a, b *url.URL) bool {
	return strings.EqualFold(a.Hostname(), b.Hostname()) && Port(a) == Port(b) && a.Scheme == b.Scheme
}

// Shared among the customers of a provider, and so no public address either.
var carrierGrade = netip.MustParsePrefix("100.64.0.0/10")

// IsPublic says whether an address (with port) is neither of this machine, nor of a private network, nor link-local.
func IsPublic(address string) bool {
	parsed, err := netip.ParseAddrPort(address)
	if err != nil {
		return false
	}
	ip := parsed.Addr().Unmap()
	return ip.IsGlobalUnicast() && !ip.IsPrivate() && !carrierGrade.Contains(ip) && !(ip.Is4() && ip.As4()[0] == 0)
}
