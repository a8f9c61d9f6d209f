package toxiproxy

import (
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	toxi "github.com/Shopify/toxiproxy/v2/client"
)

// Toxiproxy's own client for Go, with all that it can do.
func TestGoClient(t *testing.T) {
	r := newRig(t)
	web := httptest.NewServer(r)
	defer web.Close()
	c := toxi.NewClient(web.URL)

	proxy, err := c.CreateProxy("redis", "127.0.0.1:0", "127.0.0.1:6379")
	if err != nil {
		t.Fatal(err)
	}
	if proxy.Listen != "127.0.0.1:20001" || !proxy.Enabled {
		t.Errorf("%+v", proxy)
	}
	if _, err := c.CreateProxy("redis", "", "127.0.0.1:6379"); err == nil || !strings.Contains(err.Error(), "HTTP 409: proxy already exists") {
		t.Errorf("twice: %v", err)
	}
	toxic, err := proxy.AddToxic("", "latency", "", 1, toxi.Attributes{"latency": 1000, "jitter": 50})
	if err != nil || toxic.Name != "latency_downstream" || toxic.Stream != "downstream" || toxic.Toxicity != 1 || toxic.Attributes["latency"] != 1000.0 {
		t.Errorf("%+v, %v", toxic, err)
	}
	if _, err := proxy.AddToxic("slow", "bandwidth", "upstream", 0.5, toxi.Attributes{"rate": 10}); err != nil {
		t.Error(err)
	}
	toxic, err = proxy.UpdateToxic("slow", -1, toxi.Attributes{"rate": 20})
	if err != nil || toxic.Attributes["rate"] != 20.0 || toxic.Toxicity != 0.5 {
		t.Errorf("%+v, %v", toxic, err)
	}
	toxics, err := proxy.Toxics()
	if err != nil || len(toxics) != 2 || toxics[0].Name != "slow" {
		t.Errorf("%+v, %v", toxics, err)
	}
	if want := []string{"redis.slow", "redis.latency_downstream"}; !slices.Equal(r.box.names(), want) {
		t.Errorf("%v are in force, want %v", r.box.names(), want)
	}
	if err := proxy.RemoveToxic("slow"); err != nil {
		t.Error(err)
	}
	if err := proxy.Disable(); err != nil || len(r.box.cuts) != 1 {
		t.Errorf("%v, %d cuts", err, len(r.box.cuts))
	}
	if proxy, err := c.Proxy("redis"); err != nil || proxy.Enabled || len(proxy.ActiveToxics) != 1 {
		t.Errorf("%+v, %v", proxy, err)
	}
	if err := proxy.Enable(); err != nil {
		t.Error(err)
	}
	made, err := c.Populate([]toxi.Proxy{{Name: "a", Listen: "127.0.0.1:0", Upstream: "u:1", Enabled: true}, {Name: "b", Listen: "127.0.0.1:0", Upstream: "u:2"}})
	if err != nil || len(made) != 2 || !made[0].Enabled || made[1].Enabled {
		t.Errorf("%+v, %v", made, err)
	}
	if all, err := c.Proxies(); err != nil || len(all) != 3 || all["a"].Upstream != "u:1" {
		t.Errorf("%+v, %v", all, err)
	}
	if err := c.ResetState(); err != nil {
		t.Error(err)
	}
	if all, err := c.Proxies(); err != nil || !all["b"].Enabled || len(all["redis"].ActiveToxics) != 0 {
		t.Errorf("%+v, %v", all, err)
	}
	if err := proxy.Delete(); err != nil {
		t.Error(err)
	}
	if _, err := c.Proxy("redis"); err == nil || !strings.Contains(err.Error(), "HTTP 404: proxy not found") {
		t.Errorf("after it was deleted: %v", err)
	}
}
