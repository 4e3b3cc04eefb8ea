// Package importconfig turns a configuration of tyk-pump, with the TYK_PMP_* variables of its environment, into a sluice.yaml
// and a list of what has no equal. The format is that of tyk-pump's own documentation ("Tyk Pump Environment Variables") and of
// its configuration types.
//
// Passwords never stand in the result: each becomes a reference to a variable of the environment, and Secrets names what it
// gets. The variable is the one that overrides the key anyway, where there is one.
package importconfig

// Result is what became of a configuration.
type Result struct {
	Unmapped []Unmapped // what has no equal, or wants a look; those of the result's own keys begin with sluice.yaml
	Secrets  []Secret   // which variable gets which secret

	out writer
}

// Unmapped is a key of the configuration that was not, or not as it is, carried over. It holds no values.
type Unmapped struct {
	Key    string `json:"key"`
	Reason string `json:"reason"`
}

// Secret is a reference that the result makes.
type Secret struct {
	Variable string `json:"variable"` // of Sluice's environment
	From     string `json:"from"`     // key or variable of tyk-pump that holds the value
}

// Convert reads a pump.conf and the environment, as NAME=value. An *Error tells where data is not what it should be; nothing
// else fails. The result has to be validated as every configuration is.
func Convert(data []byte, env []string) (*Result, error) {
	values, err := decode(data)
	if err != nil {
		return nil, err
	}
	c := &converter{Result: &Result{}, variables: map[string]string{}}
	values = c.environment(values, env)
	c.doc = newDocument("", values)
	c.all()
	c.unread(c.doc)
	return c.Result, nil
}

// Note adds something that the list is to hold. Characters that a terminal would obey are taken out.
func (r *Result) Note(key, reason string) {
	u := Unmapped{Key: plain(key), Reason: plain(reason)}
	for _, other := range r.Unmapped {
		if other == u {
			return
		}
	}
	r.Unmapped = append(r.Unmapped, u)
}

// converter carries one conversion.
type converter struct {
	*Result
	doc       *document
	variables map[string]string // path of a key to the variable that set it
	raws      []*rawSink
}

// secret makes a reference in place of a value, named for the key of ours that it is for.
func (c *converter) secret(path, from string) reference {
	name := variable(path)
	if v, ok := c.variables[from]; ok {
		from = v
	}
	c.Secrets = append(c.Secrets, Secret{Variable: name, From: plain(from)})
	return reference("${" + name + "}")
}
