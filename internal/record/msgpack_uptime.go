package record

// DecodeUptime resets u and fills it from a payload of the host checker, always msgpack. It decodes in place as
// Decoder does, and fails as it does.
func DecodeUptime(payload []byte, u *Uptime) error {
	*u = Uptime{}
	m := msgpackReader{buf: payload, text: alias(payload)}
	known := m.uptime(u)
	m.end(known)
	if m.fail != nil {
		*u = Uptime{}
		return m.fail
	}
	return nil
}

func (m *msgpackReader) uptime(u *Uptime) (known int) {
	if len(m.buf) == 0 {
		m.failAt(0, wrongEmpty)
	}
	for n := m.mapLen(); n > 0 && m.fail == nil; n-- {
		key := m.str()
		if !m.uptimeField(key, u) {
			m.skip()
			continue
		}
		known++
		m.within(key)
	}
	return known
}

func (m *msgpackReader) uptimeField(key string, u *Uptime) bool {
	switch key {
	case "URL":
		u.URL = m.str()
	case "RequestTime":
		u.RequestTime = m.int64()
	case "ResponseCode":
		u.ResponseCode = m.int32()
	case "TCPError":
		u.TCPError = m.bool()
	case "ServerError":
		u.ServerError = m.bool()
	case "Day":
		u.Day = m.int32()
	case "Month":
		u.Month = m.int32()
	case "Year":
		u.Year = m.int32()
	case "Hour":
		u.Hour = m.int32()
	case "Minute":
		u.Minute = m.int32()
	case "TimeStamp":
		u.TimeStamp = m.time()
	case "ExpireAt":
		u.ExpireAt = m.time()
	case "APIID":
		u.APIID = m.str()
	case "OrgID":
		u.OrgID = m.str()
	default:
		return false
	}
	return true
}
