package statuspage

import (
	"cmp"
	"slices"
	"time"
)

const pageID = "9sl3dhr1twv1"

type object = map[string]any

// component of the page; a group has no group itself.
type component struct {
	id, name, group string
	isGroup         bool
}

var components = []component{
	{id: "grp-public", name: "Public Network", isGroup: true},
	{id: "cmp-pubnet", name: PublicNetwork, group: "grp-public"},
	{id: "cmp-pubhorizon", name: PublicHorizon, group: "grp-public"},
	{id: "cmp-pubdocs", name: "Documentation", group: "grp-public"},
	{id: "grp-test", name: "Test Network", isGroup: true},
	{id: "cmp-testnet", name: TestNetwork, group: "grp-test"},
	{id: "cmp-testhorizon", name: TestHorizon, group: "grp-test"},
	{id: "cmp-testdocs", name: "Documentation", group: "grp-test"},
}

// summary has the fields and the nulls of the real one.
func summary(s Scene, changed, started time.Time) object {
	indicator, description := "none", "All Systems Operational"
	hit := s.Components
	if hit == nil {
		hit = []string{PublicHorizon}
	}
	status := "operational"
	switch {
	case s.open():
		indicator = cmp.Or(s.Impact, "major")
		description = map[string]string{
			"none": "All Systems Operational", "minor": "Minor Service Outage",
			"major": "Partial System Outage", "critical": "Major Service Outage",
		}[indicator]
		status = s.ComponentStatus
		if status == "" && s.Incident != "monitoring" {
			status = "major_outage"
		}
	case s.Maintenance == "in_progress" || s.Maintenance == "verifying":
		indicator, description, status = "maintenance", "Service Under Maintenance", "under_maintenance"
	}
	all, concerned := []object{}, []object{}
	for i, c := range components {
		own := "operational"
		if !c.isGroup && slices.Contains(hit, c.name) {
			own = cmp.Or(status, "operational")
		}
		o := c.json(i+1, own, changed)
		all = append(all, o)
		if !c.isGroup && slices.Contains(hit, c.name) {
			concerned = append(concerned, o)
		}
	}
	incidents, maintenances := []object{}, []object{}
	if s.open() {
		incidents = append(incidents, incident("inc-1", s.Incident, indicator, changed, started, concerned))
	}
	if s.Maintenance != "" && s.Maintenance != "completed" {
		m := incident("mnt-1", s.Maintenance, "maintenance", changed, changed, concerned)
		from := changed
		if s.Maintenance == "scheduled" {
			from = changed.Add(24 * time.Hour) // announced ahead
		}
		m["scheduled_for"], m["scheduled_until"] = stamp(from), stamp(from.Add(time.Hour))
		maintenances = append(maintenances, m)
	}
	return object{
		"page": object{
			"id": pageID, "name": "Stellar", "url": "https://status.stellar.org",
			"time_zone": "Etc/UTC", "updated_at": stamp(changed),
		},
		"components": all, "incidents": incidents, "scheduled_maintenances": maintenances,
		"status": object{"indicator": indicator, "description": description},
	}
}

func (c component) json(position int, status string, changed time.Time) object {
	var group any
	if c.group != "" {
		group = c.group
	}
	return object{
		"id": c.id, "name": c.name, "status": status, "created_at": "2018-03-01T00:00:00.000Z", "updated_at": stamp(changed),
		"position": position, "description": nil, "showcase": false, "start_date": nil, "group_id": group,
		"page_id": pageID, "group": c.isGroup, "only_show_if_degraded": false,
	}
}

func incident(id, status, impact string, changed, started time.Time, concerned []object) object {
	var affected []object
	for _, c := range concerned {
		affected = append(affected, object{"code": c["id"], "name": c["name"], "old_status": "operational", "new_status": c["status"]})
	}
	return object{
		"id": id, "name": "Horizon requests fail", "status": status, "created_at": stamp(started), "updated_at": stamp(changed),
		"monitoring_at": nil, "resolved_at": nil, "impact": impact, "shortlink": "https://stspg.io/lab", "started_at": stamp(started),
		"page_id": pageID, "components": concerned,
		"incident_updates": []object{{
			"id": id + "-u1", "status": status, "body": "We are looking into it.", "incident_id": id, "created_at": stamp(changed),
			"updated_at": stamp(changed), "display_at": stamp(changed), "affected_components": affected,
			"deliver_notifications": true, "custom_tweet": nil, "tweet_id": nil,
		}},
	}
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
