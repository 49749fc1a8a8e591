package app

import "runtime/debug"

// version is set by the linker for releases.
var version = ""

// Version of the program: the release, or what the build knows of its source.
func Version() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "devel"
	}
	return info.Main.Version
}
