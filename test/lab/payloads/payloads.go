// Package payloads holds webhook bodies as Alertmanager sends them. Those of 0.25
// were recorded from the real one by this package's test with -update; 0.32 and
// 0.34 are copies with the fields that those versions added (template.Data of
// the alertmanager module). All quote the receiver as a regular expression.
package payloads

import (
	"embed"
	"io/fs"
	"path"
)

//go:embed *.json
var files embed.FS

// Names of the recorded payloads, without .json.
func Names() []string {
	var names []string
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		panic(err) // embedded
	}
	for _, e := range entries {
		names = append(names, e.Name()[:len(e.Name())-len(path.Ext(e.Name()))])
	}
	return names
}

// Get answers a payload by name. An unknown one panics, as a test's mistake.
func Get(name string) []byte {
	text, err := files.ReadFile(name + ".json")
	if err != nil {
		panic(err)
	}
	return text
}
