package record

func (m *msgpackReader) geo() (g Geo) {
	for n := m.mapLen(); n > 0 && m.fail == nil; n-- {
		key := m.str()
		switch key {
		case "Country":
			g.Country = m.country()
		case "City":
			g.City = m.city()
		case "Location":
			g.Location = m.location()
		default:
			m.skip()
			continue
		}
		m.within(key)
	}
	return g
}

func (m *msgpackReader) country() (c Country) {
	for n := m.mapLen(); n > 0 && m.fail == nil; n-- {
		key := m.str()
		switch key {
		case "ISOCode":
			c.ISOCode = m.str()
		default:
			m.skip()
			continue
		}
		m.within(key)
	}
	return c
}

func (m *msgpackReader) city() (c City) {
	for n := m.mapLen(); n > 0 && m.fail == nil; n-- {
		key := m.str()
		switch key {
		case "GeoNameID":
			c.GeoNameID = m.uint32()
		case "Names":
			c.Names = m.names()
		default:
			m.skip()
			continue
		}
		m.within(key)
	}
	return c
}

func (m *msgpackReader) names() map[string]string {
	if m.null() {
		return nil
	}
	names := make(map[string]string)
	m.entries(func(key string) { names[key] = m.str() })
	return names
}

func (m *msgpackReader) location() (l Location) {
	for n := m.mapLen(); n > 0 && m.fail == nil; n-- {
		key := m.str()
		switch key {
		case "Latitude":
			l.Latitude = m.float64()
		case "Longitude":
			l.Longitude = m.float64()
		case "TimeZone":
			l.TimeZone = m.str()
		default:
			m.skip()
			continue
		}
		m.within(key)
	}
	return l
}

func (m *msgpackReader) network() (w Network) {
	for n := m.mapLen(); n > 0 && m.fail == nil; n-- {
		key := m.str()
		switch key {
		case "OpenConnections":
			w.OpenConnections = m.int64()
		case "ClosedConnection":
			w.ClosedConnections = m.int64()
		case "BytesIn":
			w.BytesIn = m.int64()
		case "BytesOut":
			w.BytesOut = m.int64()
		default:
			m.skip()
			continue
		}
		m.within(key)
	}
	return w
}

func (m *msgpackReader) latency() (l Latency) {
	for n := m.mapLen(); n > 0 && m.fail == nil; n-- {
		key := m.str()
		switch key {
		case "Total":
			l.Total = m.int64()
		case "Upstream":
			l.Upstream = m.int64()
		case "Gateway":
			l.Gateway = m.int64()
		default:
			m.skip()
			continue
		}
		m.within(key)
	}
	return l
}

func (m *msgpackReader) mcp() (s MCPStats) {
	for n := m.mapLen(); n > 0 && m.fail == nil; n-- {
		key := m.str()
		switch key {
		case "IsMCP":
			s.IsMCP = m.bool()
		case "JSONRPCMethod":
			s.JSONRPCMethod = m.str()
		case "PrimitiveType":
			s.PrimitiveType = m.str()
		case "PrimitiveName":
			s.PrimitiveName = m.str()
		default:
			m.skip()
			continue
		}
		m.within(key)
	}
	return s
}
