package traffic

// The made-up company: who calls which API, from where, with what.

// endpoint is one operation of an API.
type endpoint struct {
	method  string
	path    string  // a segment in braces is an ID
	tracked bool    // the gateway folds the path to this pattern and sets TrackPath
	weight  float64 // share within its API
	median  float64 // upstream milliseconds
	bytes   int     // of a usual response body
	writes  bool    // the request has a body
}

type kind uint8

const (
	rest kind = iota
	graphql
	mcp
	tcp
)

// api is one API definition on the gateway.
type api struct {
	id, name    string
	org         string
	listen      string
	versions    []string // shares fall from the first on
	kind        kind
	weight      float64
	keyless     bool
	oauth       bool    // callers come with OAuth clients
	expireAfter int64   // seconds; 0: the gateway's 100 years
	errors      float64 // share of failures on a usual day
	tags        []string
	endpoints   []endpoint
}

// consumer is somebody who holds a key.
type consumer struct {
	key, alias, oauth string
	org               string
	weight            float64
	country           string // where most of its calls come from; empty: anywhere
	agent             int    // index into agents; -1: any
}

// place is where calls come from.
type place struct {
	iso, city, zone string
	geonameID       uint32
	lat, lon        float64
	weight          float64
	network         string // first two octets of its addresses, from the ranges for documentation and benchmarks
}

const (
	orgShop     = "5e9d9544a1dcd60001d0ed20"
	orgPartners = "6f0aa544a1dcd60001d0beef"
	orgLabs     = "71b2c344a1dcd60001d0cafe"
)

var apis = []api{
	{id: "b7c1f0e2a94d4c61", name: "Orders", org: orgShop, listen: "/orders/", versions: []string{"v2", "v1"},
		weight: 26, errors: 0.018, tags: []string{"team-checkout"}, endpoints: []endpoint{
			{method: "GET", path: "/orders/{id}", tracked: true, weight: 40, median: 28, bytes: 420},
			{method: "GET", path: "/orders", tracked: true, weight: 22, median: 55, bytes: 900},
			{method: "POST", path: "/orders", tracked: true, weight: 18, median: 90, bytes: 260, writes: true},
			{method: "PATCH", path: "/orders/{id}", tracked: true, weight: 8, median: 70, bytes: 240, writes: true},
			{method: "GET", path: "/orders/{id}/invoice.pdf", weight: 5, median: 180, bytes: 1400},
		}},
	{id: "c3d90a5be1f84f27", name: "Catalogue", org: orgShop, listen: "/catalogue/", versions: []string{"v3", "v2", "v1"},
		weight: 34, keyless: true, errors: 0.008, tags: []string{"team-catalogue", "public"}, endpoints: []endpoint{
			{method: "GET", path: "/products/{id}", tracked: true, weight: 46, median: 12, bytes: 620},
			{method: "GET", path: "/products", tracked: true, weight: 20, median: 35, bytes: 1300},
			{method: "GET", path: "/search", tracked: true, weight: 24, median: 60, bytes: 1100},
			{method: "GET", path: "/images/{id}.webp", weight: 8, median: 9, bytes: 1500},
			{method: "HEAD", path: "/products/{id}", weight: 2, median: 6},
		}},
	{id: "d41a77c09be34b58", name: "Payments", org: orgShop, listen: "/payments/", versions: []string{"Non Versioned"},
		weight: 12, oauth: true, errors: 0.03, expireAfter: 90 * 86400, tags: []string{"team-payments", "pci"},
		endpoints: []endpoint{
			{method: "POST", path: "/charges", tracked: true, weight: 55, median: 210, bytes: 310, writes: true},
			{method: "GET", path: "/charges/{id}", tracked: true, weight: 30, median: 40, bytes: 380},
			{method: "POST", path: "/refunds", tracked: true, weight: 10, median: 240, bytes: 280, writes: true},
		}},
	{id: "e5520c16d8a94e93", name: "Shipping", org: orgPartners, listen: "/shipping/", versions: []string{"v1"},
		weight: 11, errors: 0.02, tags: []string{"team-logistics"}, endpoints: []endpoint{
			{method: "GET", path: "/parcels/{uuid}", weight: 50, median: 65, bytes: 510},
			{method: "POST", path: "/labels", tracked: true, weight: 25, median: 160, bytes: 900, writes: true},
			{method: "GET", path: "/rates", tracked: true, weight: 25, median: 45, bytes: 450},
		}},
	{id: "f60b83d72c5e4aa1", name: "Partner feed", org: orgPartners, listen: "/feed/", versions: []string{"2026-01", "2025-06"},
		weight: 7, oauth: true, errors: 0.012, tags: []string{"team-partners"}, endpoints: []endpoint{
			{method: "GET", path: "/feed/v1.2/products.json", weight: 60, median: 120, bytes: 1600},
			{method: "GET", path: "/feed/v1.2/stock.json", weight: 40, median: 80, bytes: 1200},
		}},
	{id: "07a9e4c1b36d4f0e", name: "Storefront GraphQL", org: orgShop, listen: "/graphql/", versions: []string{"Non Versioned"},
		kind: graphql, weight: 6, errors: 0.01, tags: []string{"team-web"}, endpoints: []endpoint{
			{method: "POST", path: "/graphql", weight: 1, median: 45, bytes: 700, writes: true}}},
	{id: "18d2f5b04c7a4e3b", name: "Assistant tools", org: orgLabs, listen: "/mcp/", versions: []string{"Non Versioned"},
		kind: mcp, weight: 2.5, errors: 0.02, tags: []string{"team-labs"}, endpoints: []endpoint{
			{method: "POST", path: "/mcp/", weight: 1, median: 320, bytes: 480, writes: true}}},
	{id: "29e306a15d8b4f4c", name: "Telemetry stream", org: orgLabs, listen: ":9443", versions: []string{"Non Versioned"},
		kind: tcp, weight: 1.5, keyless: true, endpoints: []endpoint{{weight: 1}}},
}

var consumers = []consumer{
	{key: "a1f4c2d9", alias: "web-shop", org: orgShop, weight: 40, agent: -1},
	{key: "b83e7715", alias: "ios-app", org: orgShop, weight: 22, agent: 2},
	{key: "c90d12aa", alias: "android-app", org: orgShop, weight: 20, agent: 3},
	{key: "d5617be3", alias: "back-office", org: orgShop, weight: 7, country: "DE", agent: 0},
	{key: "e47720fc", alias: "nightly-export", org: orgShop, weight: 3, country: "IE", agent: 5},
	{key: "f2b8d046", alias: "payments-worker", oauth: "oauth-payments-worker", org: orgShop, weight: 6, country: "IE", agent: 6},
	{key: "0cc9351d", alias: "Kiosk Zürich", oauth: "oauth-kiosk-zrh", org: orgShop, weight: 2, country: "CH", agent: 1},
	{key: "17ae60b4", alias: "parcel-hub", oauth: "oauth-parcel-hub", org: orgPartners, weight: 30, country: "NL", agent: 6},
	{key: "28bf71c5", alias: "price-compare", oauth: "oauth-price-compare", org: orgPartners, weight: 24, country: "US", agent: 4},
	{key: "39c082d6", alias: "marketplace-jp", oauth: "oauth-marketplace-jp", org: orgPartners, weight: 12, country: "JP", agent: 5},
	{key: "4ad193e7", alias: "", org: orgPartners, weight: 4, agent: 5},
	{key: "5be2a4f8", alias: "agent-sandbox", org: orgLabs, weight: 8, country: "GB", agent: 7},
	{key: "6cf3b509", alias: "agent-prod", org: orgLabs, weight: 12, agent: 7},
}

var places = []place{
	{"DE", "Berlin", "Europe/Berlin", 2950159, 52.524, 13.411, 24, "198.18"},
	{"GB", "London", "Europe/London", 2643743, 51.509, -0.126, 17, "198.19"},
	{"US", "New York", "America/New_York", 5128581, 40.714, -74.006, 16, "203.0"},
	{"FR", "Paris", "Europe/Paris", 2988507, 48.853, 2.349, 11, "198.51"},
	{"NL", "Amsterdam", "Europe/Amsterdam", 2759794, 52.374, 4.890, 7, "192.0"},
	{"IE", "Dublin", "Europe/Dublin", 2964574, 53.333, -6.249, 6, "198.18"},
	{"CH", "Zürich", "Europe/Zurich", 2657896, 47.367, 8.55, 4, "198.19"},
	{"JP", "Tokyo", "Asia/Tokyo", 1850147, 35.690, 139.692, 4, "203.0"},
	{"BR", "São Paulo", "America/Sao_Paulo", 3448439, -23.548, -46.636, 3, "198.51"},
	{"AU", "Sydney", "Australia/Sydney", 2147714, -33.868, 151.207, 3, "192.0"},
	{"IN", "Mumbai", "Asia/Kolkata", 1275339, 19.073, 72.883, 3, "198.18"},
	{"", "", "", 0, 0, 0, 2, "10.20"}, // an address the gateway's database does not know
}

var agents = []string{
	"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0 Safari/537.36",
	"Mozilla/5.0 (Macintosh; Intel Mac OS X 14_6) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/605.1.15",
	"Storefront/7.4 (iPhone; iOS 19.1) CFNetwork/3826",
	"okhttp/4.12.0",
	"Googlebot/2.1 (+http://www.google.com/bot.html)",
	"python-requests/2.32.3",
	"Go-http-client/2.0",
	"mcp-client/1.3 \"agent\"",
}

// oddPaths are what scanners and broken clients send.
var oddPaths = []string{
	"/products/\xff\xfe", "/search\x00.php", "/<img src=x onerror=alert(1)>", "/../../etc/passwd",
	"/products/caf\xc3\xa9", "/$where", "/products/'; DROP TABLE orders;--", "/wp-login.php", "/.env",
}

var graphqlOperations = []struct {
	root      string
	operation int32 // 1 query, 2 mutation
	typ       string
	fields    []string
}{
	{"product", 1, "Product", []string{"id", "name", "price"}},
	{"cart", 1, "Cart", []string{"id", "items", "total"}},
	{"addToCart", 2, "Cart", []string{"id", "items"}},
	{"me", 1, "Customer", []string{"id", "email"}},
}

var mcpTools = []string{"search_products", "get_order", "create_return", "store_hours"}
