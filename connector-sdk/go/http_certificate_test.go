package connector

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/superfasttt/connectors/connector-sdk/go/connectorpb"
)

func TestAClientCertificateIsShown(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "anna"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certificate := &connectorpb.ClientCertificate{
		CertificatePem: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		PrivateKeyPem:  string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})),
	}
	shown := ""
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
		shown = request.TLS.PeerCertificates[0].Subject.CommonName
		answers(200)(writer)
	}))
	server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	server.StartTLS()
	t.Cleanup(server.Close)
	source := newSource(t, local, &connectorpb.Credential{Kind: &connectorpb.Credential_ClientCertificate{ClientCertificate: certificate}}, answers(200))
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	source.client.transport.network.(*http.Transport).TLSClientConfig.RootCAs = roots
	if err := source.client.GetJSON(t.Context(), server.URL, new(any)); err != nil || shown != "anna" {
		t.Errorf("%q was shown: %v", shown, err)
	}
	broken := &core{manifest: &manifest{}, http: source.client.transport.source}
	_, err = broken.beginCall(t.Context(), "test", 1, nil, &connectorpb.Credential{Kind: &connectorpb.Credential_ClientCertificate{
		ClientCertificate: &connectorpb.ClientCertificate{CertificatePem: certificate.CertificatePem, PrivateKeyPem: "s3cret"}}})
	if !errors.Is(err, SettingsInvalid) || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("%v", err)
	}
}
