// Package lab stands up, on the real Docker Engine of this machine, what tests
// and the demo need: services with the labels that Docker Compose would give
// them, which can be made to hang, fail, exit, spin and leak (Service, Wedge,
// Heal, …), a real PostgreSQL and a real Redis out of the host's own programs,
// and a real Alertmanager as a process. Its sub-packages add a proxy in front of
// the engine's socket (dockerproxy), a scripted status page (statuspage) and
// recorded webhook payloads (payloads).
//
// A Lab is one run with its own Compose project. Everything it makes carries the
// label remediator.lab=<run>, is removed by Close, and several labs can run side
// by side. What a killed process left behind is removed by the next New; see
// Sweep and Leftovers.
//
// Readiness is awaited on the engine's events stream, never by sleeping.
//
// It runs on Linux, on the machine of the Docker Engine: host directories are
// mounted and addresses of containers are dialled.
package lab
