package lab

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"strconv"
	"strings"
)

// Labels that Docker Compose puts on containers; both versions unless said.
const (
	LabelProject = "com.docker.compose.project"
	LabelService = "com.docker.compose.service"
	LabelNumber  = "com.docker.compose.container-number"
	LabelOneOff  = "com.docker.compose.oneoff"
	LabelHash    = "com.docker.compose.config-hash"
	LabelVersion = "com.docker.compose.version"
	LabelDepends = "com.docker.compose.depends_on" // v2
	LabelImageID = "com.docker.compose.image"      // v2
	LabelNetwork = "com.docker.compose.network"    // networks
	labelWorkDir = "com.docker.compose.project.working_dir"
)

// labels of one container of the service, number from 1.
func (l *Lab) labels(spec ServiceSpec, number int) (map[string]string, error) {
	labels, err := l.ownLabels()
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%+v", spec))
	maps.Copy(labels, map[string]string{
		LabelProject: l.Project,
		LabelService: spec.Name,
		LabelNumber:  strconv.Itoa(number),
		LabelOneOff:  "False",
		LabelHash:    hex.EncodeToString(sum[:]),
		LabelVersion: "2.29.7",
	})
	if spec.OneOff {
		labels[LabelOneOff] = "True"
	}
	if l.options.ComposeV1 {
		labels[LabelVersion] = "1.29.2"
	} else {
		labels[labelWorkDir] = l.Dir
		labels[LabelDepends] = dependsLabel(spec.DependsOn)
	}
	maps.Copy(labels, spec.Labels)
	return labels, nil
}

// dependsLabel is service:condition:restart, comma-separated.
func dependsLabel(services []string) string {
	var parts []string
	for _, s := range services {
		parts = append(parts, s+":service_healthy:false")
	}
	return strings.Join(parts, ",")
}

func (l *Lab) ownLabels() (map[string]string, error) {
	who, err := self()
	if err != nil {
		return nil, err
	}
	return map[string]string{LabelRun: l.Run, LabelOwner: who.String()}, nil
}

// containerName as Compose gives it: v1 project_service_1, v2 project-service-1.
func (l *Lab) containerName(spec ServiceSpec, number int) string {
	separator := "-"
	if l.options.ComposeV1 {
		separator = "_"
	}
	parts := []string{l.Project, spec.Name, strconv.Itoa(number)}
	if spec.OneOff {
		parts = []string{l.Project, spec.Name, "run", l.Run + strconv.Itoa(number)}
	}
	return strings.Join(parts, separator)
}
