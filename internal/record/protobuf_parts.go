package record

func (p *protobufReader) latency(l *Latency) {
	outer := p.open()
	for p.next() {
		switch p.tag {
		case 1<<3 | pbVarint:
			p.int64(&l.Total, "Total")
		case 2<<3 | pbVarint:
			p.int64(&l.Upstream, "Upstream")
		default:
			p.skip()
		}
	}
	p.close(outer, "Latency")
}

func (p *protobufReader) geo(g *Geo) {
	outer := p.open()
	for p.next() {
		switch p.tag {
		case 1<<3 | pbBytes:
			p.country(&g.Country)
		case 2<<3 | pbBytes:
			p.city(&g.City)
		case 3<<3 | pbBytes:
			p.location(&g.Location)
		default:
			p.skip()
		}
	}
	p.close(outer, "Geo")
}

func (p *protobufReader) country(c *Country) {
	outer := p.open()
	for p.next() {
		switch p.tag {
		case 1<<3 | pbBytes:
			p.str(&c.ISOCode, "ISOCode")
		default:
			p.skip()
		}
	}
	p.close(outer, "Country")
}

func (p *protobufReader) city(c *City) {
	outer := p.open()
	for p.next() {
		switch p.tag {
		case 1<<3 | pbBytes:
			p.name(c)
		case 2<<3 | pbVarint:
			c.GeoNameID = uint32(p.varint())
			p.failed("GeoNameID")
		default:
			p.skip()
		}
	}
	p.close(outer, "City")
}

// name reads one entry of City.Names, a message of key and value.
func (p *protobufReader) name(c *City) {
	var key, value string
	p.element()
	outer := p.open()
	for p.next() {
		switch p.tag {
		case 1<<3 | pbBytes:
			key = alias(p.bytes())
		case 2<<3 | pbBytes:
			value = alias(p.bytes())
		default:
			p.skip()
		}
	}
	p.close(outer, "Names")
	if c.Names == nil {
		c.Names = make(map[string]string)
	}
	c.Names[key] = value
}

func (p *protobufReader) location(l *Location) {
	outer := p.open()
	for p.next() {
		switch p.tag {
		case 1<<3 | pbFixed64:
			p.double(&l.Latitude, "Latitude")
		case 2<<3 | pbFixed64:
			p.double(&l.Longitude, "Longitude")
		case 3<<3 | pbBytes:
			p.str(&l.TimeZone, "TimeZone")
		default:
			p.skip()
		}
	}
	p.close(outer, "Location")
}

func (p *protobufReader) network(w *Network) {
	outer := p.open()
	for p.next() {
		switch p.tag {
		case 1<<3 | pbVarint:
			p.int64(&w.OpenConnections, "OpenConnections")
		case 2<<3 | pbVarint:
			p.int64(&w.ClosedConnections, "ClosedConnections")
		case 3<<3 | pbVarint:
			p.int64(&w.BytesIn, "BytesIn")
		case 4<<3 | pbVarint:
			p.int64(&w.BytesOut, "BytesOut")
		default:
			p.skip()
		}
	}
	p.close(outer, "Network")
}

func (p *protobufReader) mcp(s *MCPStats) {
	outer := p.open()
	for p.next() {
		switch p.tag {
		case 1<<3 | pbVarint:
			p.bool(&s.IsMCP, "IsMCP")
		case 2<<3 | pbBytes:
			p.str(&s.JSONRPCMethod, "JSONRPCMethod")
		case 3<<3 | pbBytes:
			p.str(&s.PrimitiveType, "PrimitiveType")
		case 4<<3 | pbBytes:
			p.str(&s.PrimitiveName, "PrimitiveName")
		default:
			p.skip()
		}
	}
	p.close(outer, "MCPStats")
}

func (p *protobufReader) graphQL(s *GraphQLStats) {
	outer := p.open()
	for p.next() {
		switch p.tag {
		case 1<<3 | pbVarint:
			p.bool(&s.IsGraphQL, "IsGraphQL")
		case 2<<3 | pbBytes:
			p.graphQLType(s)
		case 3<<3 | pbVarint:
			p.int32(&s.OperationType, "OperationType")
		case 4<<3 | pbBytes:
			p.str(&s.Variables, "Variables")
		case 5<<3 | pbBytes:
			p.appendTo(&s.RootFields, "RootFields")
		case 6<<3 | pbVarint:
			p.bool(&s.HasErrors, "HasError")
		case 7<<3 | pbBytes:
			var e GraphQLError
			p.element()
			p.str(&e.Message, "GraphErrors")
			s.Errors = append(s.Errors, e)
		default:
			p.skip()
		}
	}
	p.close(outer, "GraphQLStats")
}

func (p *protobufReader) appendTo(list *[]string, key string) {
	var s string
	p.element()
	p.str(&s, key)
	*list = append(*list, s)
}

// graphQLType reads one entry of GraphQLStats.Types; its value is a message of its own.
func (p *protobufReader) graphQLType(s *GraphQLStats) {
	var key string
	var fields []string
	p.element()
	outer := p.open()
	for p.next() {
		switch p.tag {
		case 1<<3 | pbBytes:
			key = alias(p.bytes())
		case 2<<3 | pbBytes:
			p.typeFields(&fields)
		default:
			p.skip()
		}
	}
	p.close(outer, "Types")
	if s.Types == nil {
		s.Types = make(map[string][]string)
	}
	s.Types[key] = fields
}

func (p *protobufReader) typeFields(fields *[]string) {
	value := p.open()
	for p.next() {
		if p.tag == 1<<3|pbBytes {
			p.appendTo(fields, "Fields")
			continue
		}
		p.skip()
	}
	p.close(value, "Value")
}
