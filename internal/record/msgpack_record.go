package record

// decodeMsgpack fills r from a map of Go field names. Keys come in any order; unknown ones are passed over, of equal
// ones the last counts.
func (d *Decoder) decodeMsgpack(payload []byte, r *Record) *DecodeError {
	if len(payload) == 0 {
		return &DecodeError{What: wrongEmpty}
	}
	m := msgpackReader{buf: payload, text: alias(payload), strings: &d.strings}
	known, ok := m.quickRecord(r)
	if !ok {
		m = msgpackReader{buf: payload, text: alias(payload), strings: &d.strings}
		known = m.record(r, m.mapLen())
	}
	m.end(known)
	return m.fail
}

// quickRecord reads a record whose fields come in the order of gateways, but perhaps for some. It is not ok when
// the payload is no record: then all must be read again, to see what is wrong.
func (m *msgpackReader) quickRecord(r *Record) (known int, ok bool) {
	n := m.mapLen()
	known = m.inOrder(r)
	if m.fail != nil || known > n {
		return 0, false
	}
	known += m.record(r, n-known)
	return known, m.fail == nil
}

// end checks that the payload held a record and nothing else.
func (m *msgpackReader) end(known int) {
	switch {
	case m.fail != nil:
	case m.off < len(m.buf):
		m.failAt(m.off, wrongTrailing)
	case known == 0:
		m.failAt(0, wrongNoField)
	}
}

// record reads n entries and returns how many of the keys are a record's.
func (m *msgpackReader) record(r *Record, n int) (known int) {
	for ; n > 0 && m.fail == nil; n-- {
		key := m.str()
		if !m.recordField(key, r) {
			m.skip()
			continue
		}
		known++
		m.within(key)
	}
	return known
}

func (m *msgpackReader) recordField(key string, r *Record) bool {
	switch key {
	case "Method":
		r.Method = m.str()
	case "Host":
		r.Host = m.str()
	case "Path":
		r.Path = m.str()
	case "RawPath":
		r.RawPath = m.str()
	case "ContentLength":
		r.ContentLength = m.int64()
	case "UserAgent":
		r.UserAgent = m.str()
	case "Day":
		r.Day = m.int32()
	case "Month":
		r.Month = m.int32()
	case "Year":
		r.Year = m.int32()
	case "Hour":
		r.Hour = m.int32()
	case "ResponseCode":
		r.ResponseCode = m.int32()
	case "APIKey":
		r.APIKey = m.str()
	case "TimeStamp":
		r.TimeStamp = m.time()
	case "APIVersion":
		r.APIVersion = m.str()
	case "APIName":
		r.APIName = m.str()
	case "APIID":
		r.APIID = m.str()
	case "OrgID":
		r.OrgID = m.str()
	case "OauthID":
		r.OauthID = m.str()
	case "RequestTime":
		r.RequestTime = m.int64()
	case "RawRequest":
		r.RawRequest = m.str()
	case "RawResponse":
		r.RawResponse = m.str()
	case "IPAddress":
		r.IPAddress = m.str()
	case "Geo":
		r.Geo = m.geo()
	case "Network":
		r.Network = m.network()
	case "Latency":
		r.Latency = m.latency()
	case "Tags":
		r.Tags = m.strs()
	case "Alias":
		r.Alias = m.str()
	case "TrackPath":
		r.TrackPath = m.bool()
	case "ExpireAt":
		r.ExpireAt = m.time()
	case "ApiSchema":
		r.APISchema = m.str()
	case "OriginalPath":
		r.OriginalPath = m.str()
	case "ListenPath":
		r.ListenPath = m.str()
	case "GraphQLStats":
		r.GraphQL = m.graphQL()
	case "MCPStats":
		r.MCP = m.mcp()
	case "CollectionName":
		r.CollectionName = m.str()
	default:
		return false
	}
	return true
}
