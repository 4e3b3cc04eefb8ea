package record

// decodeProtobuf fills r from an AnalyticsRecord, schemas/proto/analytics.proto.
func (d *Decoder) decodeProtobuf(payload []byte, r *Record) *DecodeError {
	p := protobufRecord{r: r, tags: d.tags[:0]}
	p.buf, p.end = payload, len(payload)
	if len(payload) == 0 {
		p.failAt(0, wrongEmpty)
	}
	if known := p.read(); known == 0 {
		p.failAt(0, wrongNoField)
	}
	r.TimeStamp = p.moment(p.timeStamp, "TimeStamp")
	r.ExpireAt = p.moment(p.expireAt, "ExpireAt")
	if len(p.tags) > 0 {
		r.Tags = d.strings.take(len(p.tags))
		copy(r.Tags, p.tags)
		clear(p.tags) // they would keep the payload alive
		d.tags = p.tags
	}
	d.restore(&p)
	return p.fail
}

// protobufRecord has what is known of a record only when its message ends.
type protobufRecord struct {
	protobufReader
	r                   *Record
	tags                []string
	timeStamp, expireAt timestamp

	original   []byte // the record as msgpack
	originalAt int
	zone       string
	empty      int64
}

// read returns how many of the fields are a record's.
func (p *protobufRecord) read() (known int) {
	for p.next() {
		if !p.number() && !p.text() && !p.message() && !p.lossless() {
			p.skip()
			continue
		}
		known++
	}
	return known
}

func (p *protobufRecord) text() bool {
	r := p.r
	switch p.tag {
	case 1<<3 | pbBytes:
		p.str(&r.Host, "Host")
	case 2<<3 | pbBytes:
		p.str(&r.Method, "Method")
	case 3<<3 | pbBytes:
		p.str(&r.Path, "Path")
	case 4<<3 | pbBytes:
		p.str(&r.RawPath, "RawPath")
	case 6<<3 | pbBytes:
		p.str(&r.UserAgent, "UserAgent")
	case 12<<3 | pbBytes:
		p.str(&r.APIKey, "APIKey")
	case 14<<3 | pbBytes:
		p.str(&r.APIVersion, "APIVersion")
	case 15<<3 | pbBytes:
		p.str(&r.APIName, "APIName")
	case 16<<3 | pbBytes:
		p.str(&r.APIID, "APIID")
	case 17<<3 | pbBytes:
		p.str(&r.OrgID, "OrgID")
	case 20<<3 | pbBytes:
		p.str(&r.RawRequest, "RawRequest")
	case 21<<3 | pbBytes:
		p.str(&r.RawResponse, "RawResponse")
	case 22<<3 | pbBytes:
		p.str(&r.IPAddress, "IPAddress")
	case 25<<3 | pbBytes:
		p.addTag()
	case 26<<3 | pbBytes:
		p.str(&r.Alias, "Alias")
	case 29<<3 | pbBytes:
		p.str(&r.OauthID, "OauthID")
	case 30<<3 | pbBytes:
		p.str(&r.TimeZone, "TimeZone")
	case 31<<3 | pbBytes:
		p.str(&r.APISchema, "ApiSchema")
	case 34<<3 | pbBytes:
		p.str(&r.OriginalPath, "OriginalPath")
	case 35<<3 | pbBytes:
		p.str(&r.ListenPath, "ListenPath")
	default:
		return false
	}
	return true
}

func (p *protobufRecord) addTag() {
	var tag string
	p.element()
	p.str(&tag, "Tags")
	p.tags = append(p.tags, tag)
}

func (p *protobufRecord) number() bool {
	r := p.r
	switch p.tag {
	case 5<<3 | pbVarint:
		p.int64(&r.ContentLength, "ContentLength")
	case 7<<3 | pbVarint:
		p.int32(&r.Day, "Day")
	case 8<<3 | pbVarint:
		p.int32(&r.Month, "Month")
	case 9<<3 | pbVarint:
		p.int32(&r.Year, "Year")
	case 10<<3 | pbVarint:
		p.int32(&r.Hour, "Hour")
	case 11<<3 | pbVarint:
		p.int32(&r.ResponseCode, "ResponseCode")
	case 18<<3 | pbVarint:
		p.int64(&r.RequestTime, "RequestTime")
	case 27<<3 | pbVarint:
		p.bool(&r.TrackPath, "TrackPath")
	default:
		return false
	}
	return true
}

func (p *protobufRecord) message() bool {
	r := p.r
	switch p.tag {
	case 13<<3 | pbBytes:
		p.timestamp(&p.timeStamp, "TimeStamp")
	case 19<<3 | pbBytes:
		p.latency(&r.Latency)
	case 23<<3 | pbBytes:
		p.geo(&r.Geo)
	case 24<<3 | pbBytes:
		p.network(&r.Network)
	case 28<<3 | pbBytes:
		p.timestamp(&p.expireAt, "ExpireAt")
	case 32<<3 | pbBytes:
		p.graphQL(&r.GraphQL)
	case 33<<3 | pbBytes:
		p.mcp(&r.MCP)
	default:
		return false
	}
	return true
}
