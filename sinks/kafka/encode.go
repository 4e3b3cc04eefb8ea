package kafka

import (
	"encoding/json"
	"strings"
	"time"

	bus "sluice/internal/kafka"
	"sluice/internal/record"
)

// keyOf makes one API's records one partition's, so that they keep their order.
func keyOf(r *record.Record) []byte {
	key := make([]byte, 0, len(r.OrgID)+1+len(r.APIID))
	return append(append(append(key, r.OrgID...), '/'), r.APIID...)
}

func encode(format string, r *record.Record) []byte {
	if format == bus.FormatJSON {
		return appendJSON(r)
	}
	return record.AppendProtobufLossless(make([]byte, 0, 512+len(r.RawRequest)+len(r.RawResponse)), r)
}

// document has the names that the incumbent writes into Kafka.
type document struct {
	Timestamp     time.Time `json:"timestamp"`
	Method        string    `json:"method"`
	Path          string    `json:"path"`
	RawPath       string    `json:"raw_path"`
	ResponseCode  int32     `json:"response_code"`
	Alias         string    `json:"alias"`
	APIKey        string    `json:"api_key"`
	APIVersion    string    `json:"api_version"`
	APIName       string    `json:"api_name"`
	APIID         string    `json:"api_id"`
	OrgID         string    `json:"org_id"`
	OauthID       string    `json:"oauth_id"`
	RawRequest    string    `json:"raw_request"`
	RequestTime   int64     `json:"request_time_ms"`
	RawResponse   string    `json:"raw_response"`
	IPAddress     string    `json:"ip_address"`
	Host          string    `json:"host"`
	ContentLength int64     `json:"content_length"`
	UserAgent     string    `json:"user_agent"`
	Tags          []string  `json:"tags"`
}

// appendJSON writes a record as the incumbent does. Invalid bytes become U+FFFD (encoding/json). It cannot fail: no field is
// of a kind that JSON lacks, and times lie between the years 1 and 9999.
func appendJSON(r *record.Record) []byte {
	tags := make([]string, len(r.Tags))
	copy(tags, r.Tags)
	b := strings.Builder{}
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(document{
		Timestamp: r.TimeStamp, Method: r.Method, Path: r.Path, RawPath: r.RawPath, ResponseCode: r.ResponseCode, Alias: r.Alias,
		APIKey: r.APIKey, APIVersion: r.APIVersion, APIName: r.APIName, APIID: r.APIID, OrgID: r.OrgID, OauthID: r.OauthID,
		RawRequest: r.RawRequest, RequestTime: r.RequestTime, RawResponse: r.RawResponse, IPAddress: r.IPAddress, Host: r.Host,
		ContentLength: r.ContentLength, UserAgent: r.UserAgent, Tags: tags,
	})
	return []byte(strings.TrimSuffix(b.String(), "\n"))
}
