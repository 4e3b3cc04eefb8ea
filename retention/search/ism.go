package search

import (
	"context"
	"fmt"
	"net/http"

	"sluice/internal/crash"
	"sluice/retention/plan"
)

// policyID is the policy that deletes what it is attached to. It is attached to single indices once the plan lets them
// go: a policy that goes by age would neither know of holds nor ask whether the archive is verified.
// API: opensearch.org/docs, Index State Management.
const policyID = "sluice-expire"

func policy() map[string]any {
	return map[string]any{"policy": map[string]any{
		"description":   "Deletes the indices that sluice retain attaches it to.",
		"default_state": "delete",
		"states": []any{map[string]any{"name": "delete", "transitions": []any{},
			"actions": []any{map[string]any{"delete": map[string]any{}, "retry": map[string]any{"count": 3, "backoff": "exponential", "delay": "1m"}}}}},
	}}
}

// storedPolicy is what is looked at of the policy that the cluster has.
type storedPolicy struct {
	SeqNo  int64 `json:"_seq_no"`
	Term   int64 `json:"_primary_term"`
	Policy struct {
		Default string `json:"default_state"`
		States  []struct {
			Name        string           `json:"name"`
			Actions     []map[string]any `json:"actions"`
			Transitions []any            `json:"transitions"`
		} `json:"states"`
	} `json:"policy"`
}

// deletes tells whether the policy still deletes at once what it is attached to. The cluster fills defaults in, so that
// only what matters is looked at.
func (p *storedPolicy) deletes() bool {
	if len(p.Policy.States) != 1 || p.Policy.Default != p.Policy.States[0].Name {
		return false
	}
	st := p.Policy.States[0]
	return len(st.Transitions) == 0 && len(st.Actions) == 1 && st.Actions[0]["delete"] != nil
}

// managed asks which policy each index has. It also finds out whether the plugin answers.
func (s *Store) managed(ctx context.Context, inv *plan.Inventory) (map[string]string, error) {
	s.ism = false
	if s.o.ISM == Never {
		return nil, nil
	}
	status, err := s.admin.Call(ctx, http.MethodGet, "/_plugins/_ism/policies/"+policyID, nil, nil)
	switch {
	case status == http.StatusOK || status == http.StatusNotFound:
		s.ism = true
	case status == 0 || status >= 500 || status == http.StatusTooManyRequests:
		return nil, fmt.Errorf("look for Index State Management: %w", err)
	default: // 400: no handler, 401 and 403: no rights, others: a service that has no such thing
		how := "indices are deleted directly"
		if s.o.ISM == Always {
			how = "retention.search.ism is always, so that nothing can be deleted"
		}
		inv.Notes = append(inv.Notes, fmt.Sprintf("Index State Management does not answer (status %d): %s", status, how))
		return nil, nil
	}
	var explained map[string]any
	status, err = s.admin.Call(ctx, http.MethodGet, "/_plugins/_ism/explain/"+s.admin.Wildcard(), nil, &explained)
	if status == http.StatusNotFound { // no index matches
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ask which indices are managed: %w", err)
	}
	out := map[string]string{}
	for name, v := range explained {
		if m, ok := v.(map[string]any); ok {
			out[name], _ = m["index.plugins.index_state_management.policy_id"].(string)
		}
	}
	return out, nil
}

// attach makes the policy if it is not there and gives it an index to delete. It tells whether the policy has it now.
func (s *Store) attach(ctx context.Context, name string) (bool, error) {
	path := "/_plugins/_ism/policies/" + policyID
	var have storedPolicy
	status, err := s.admin.Call(ctx, http.MethodGet, path, nil, &have)
	switch {
	case status == http.StatusOK && err == nil && !have.deletes():
		s.o.Log.Warn("the policy of Index State Management was changed and is put right", "policy", policyID)
		path += fmt.Sprintf("?if_seq_no=%d&if_primary_term=%d", have.SeqNo, have.Term) // 409 if somebody changes it meanwhile
		crash.Before("retention/ism-policy-change")
		_, err = s.admin.Call(ctx, http.MethodPut, path, policy(), nil)
		crash.After("retention/ism-policy-change")
	case status == http.StatusNotFound:
		crash.Before("retention/ism-policy")
		status, err = s.admin.Call(ctx, http.MethodPut, path, policy(), nil)
		crash.After("retention/ism-policy")
		if status == http.StatusConflict { // another was faster
			err = nil
		}
	}
	if err != nil {
		return false, fmt.Errorf("make the policy %s: %w", policyID, err)
	}
	var res struct {
		Updated  int  `json:"updated_indices"`
		Failures bool `json:"failures"`
	}
	crash.Before("retention/ism-attach")
	status, err = s.admin.Call(ctx, http.MethodPost, "/_plugins/_ism/add/"+name, map[string]any{"policy_id": policyID}, &res)
	crash.After("retention/ism-attach")
	if status == http.StatusNotFound {
		return true, nil // the index is gone
	}
	if err != nil {
		return false, fmt.Errorf("attach the policy %s to %s: %w", policyID, name, err)
	}
	return res.Updated > 0 && !res.Failures, nil
}
