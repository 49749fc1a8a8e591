package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// certificates NAME…: an authority in ca.pem, and NAME.pem with NAME.key for each
// name, good for servers on 127.0.0.1 and for clients.
func certificatesCommand(_ context.Context, _ *scene, ts *testscript.TestScript, names []string) error {
	authority, authorityKey, err := certificate("test authority", nil, nil)
	if err != nil {
		return err
	}
	if err := writePEM(ts.MkAbs("ca.pem"), "CERTIFICATE", authority.Raw); err != nil {
		return err
	}
	for _, name := range names {
		cert, key, err := certificate(name, authority, authorityKey)
		if err != nil {
			return err
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		err = errors.Join(err, writePEM(ts.MkAbs(name+".pem"), "CERTIFICATE", cert.Raw), writePEM(ts.MkAbs(name+".key"), "PRIVATE KEY", der))
		if err != nil {
			return err
		}
	}
	return nil
}

// certificate signed by an authority, or by itself when there is none.
func certificate(name string, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	if parent == nil {
		parent, parentKey = template, key
		template.IsCA, template.KeyUsage = true, x509.KeyUsageCertSign
	} else {
		template.IPAddresses, template.KeyUsage = []net.IP{net.IPv4(127, 0, 0, 1)}, x509.KeyUsageDigitalSignature
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return cert, key, err
}

func writePEM(path, kind string, der []byte) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}
