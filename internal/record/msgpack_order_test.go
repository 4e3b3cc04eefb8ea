package record

import (
	"strings"
	"testing"
)

// What the encoder writes is what gateways write, as other tests hold against captured payloads.
func TestRecordsOfGatewaysTakeTheQuickWay(t *testing.T) {
	payload := AppendMsgpack(nil, &Record{})
	for _, empty := range []string{mpNoGeo, mpNoNetwork, mpNoGraphQL, mpNoMCP} {
		if !strings.Contains(string(payload), empty) {
			t.Errorf("a gateway writes no %q", empty)
		}
	}
	m := msgpackReader{buf: payload, text: alias(payload), strings: &stringArena{}}
	m.mapLen()
	if n := m.inOrder(&Record{}); n != recordKeys || m.off != len(payload) {
		t.Errorf("%d of %d fields are where they are expected", n, recordKeys)
	}
}
