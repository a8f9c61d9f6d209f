package control

import (
	"net/http"
	"runtime"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/tcpmangle/tcpmangle/engine"
)

// metrics answers what Prometheus asks for.
func (s *Server) metrics() func(http.ResponseWriter, *http.Request) error {
	registry := prometheus.NewRegistry()
	registry.MustRegister(&collector{s})
	handler := promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
	return func(w http.ResponseWriter, r *http.Request) error {
		handler.ServeHTTP(w, r)
		return nil
	}
}

// A collector reads the counters that the workers keep anyway, when it is asked: nothing
// is done for it on a packet's path.
type collector struct{ *Server }

// A metric is one name with its labels.
type metric struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

func newMetric(name string, kind prometheus.ValueType, help string, labels ...string) metric {
	return metric{prometheus.NewDesc("tcpmangle_"+name, help, labels, nil), kind}
}

const (
	counter = prometheus.CounterValue
	gauge   = prometheus.GaugeValue
)

var (
	mInfo      = newMetric("info", gauge, "1, with what the instance is.", "version", "go")
	mStart     = newMetric("start_time_seconds", gauge, "When the box's clock stood at zero, since the epoch.")
	mPackets   = newMetric("packets_total", counter, "Packets read, by the device they came from.", "worker", "side")
	mBytes     = newMetric("bytes_total", counter, "Bytes of these packets.", "worker", "side")
	mSegments  = newMetric("segments_total", counter, "TCP segments, those in super-packets one by one.", "worker")
	mVerdicts  = newMetric("verdicts_total", counter, "Segments by what became of them.", "worker", "verdict")
	mOthers    = newMetric("other_packets_total", counter, "Packets that passed because they are no TCP segment.", "worker", "reason")
	mUntracked = newMetric("untracked_segments_total", counter, "Segments that passed because they belong to no connection.", "worker")
	mWhole     = newMetric("whole_packets_total", counter, "Packets forwarded as they came, since no rule can concern them.", "worker")
	mSwallowed = newMetric("swallowed_segments_total", counter, "Retransmissions of held segments.", "worker")
	mLosses    = newMetric("lost_segments_total", counter, "Segments that did not go out although no rule dropped them.", "worker", "reason")
	mWaiting   = newMetric("waiting_segments", gauge, "Segments held or delayed.", "worker")
	mWaitBytes = newMetric("waiting_bytes", gauge, "The memory that they take, with recorded ones and what each worker reads into.", "worker")
	mConns     = newMetric("connections", gauge, "Connections in the table, closed ones that it remembers included.", "worker")
	mOpened    = newMetric("connections_opened_total", counter, "Connections that have begun.", "worker")
	mLateness  = newMetric("lateness_seconds", gauge, "How late what waited was let out; the sum counts each at its bucket's bound.", "worker")
	mRingDrops = newMetric("ring_drops_total", counter, "Packets that the kernel lost before they were read.")
	mFired     = newMetric("rule_fired_total", counter, "How often a rule has fired.", "rule")
	mEnabled   = newMetric("rule_enabled", gauge, "1 if the rule is awake, 0 if it sleeps.", "rule")
	mHeld      = newMetric("rule_held_segments", gauge, "Segments that a rule holds.", "rule")
	mReloads   = newMetric("rules_generation", gauge, "Counts the changes of the rules in force.")
	mLeases    = newMetric("leases", gauge, "Leases that have not ended.")
	mListeners = newMetric("event_listeners", gauge, "Readers of the event stream.")
	mWaits     = newMetric("waits", gauge, "Waits for a condition.")
	mLost      = newMetric("events_lost_total", counter, "Events that readers were too slow for.")
)

var allMetrics = []metric{
	mInfo, mStart, mPackets, mBytes, mSegments, mVerdicts, mOthers, mUntracked, mWhole, mSwallowed, mLosses, mWaiting,
	mWaitBytes, mConns, mOpened, mLateness, mRingDrops, mFired, mEnabled, mHeld, mReloads, mLeases, mListeners, mWaits, mLost,
}

// Describe is part of prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, m := range allMetrics {
		out <- m.desc
	}
}

// Collect is part of prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	out := sink{ch}
	out.put(mInfo, 1, c.cfg.Version, runtime.Version())
	out.put(mStart, float64(c.cfg.Engine.Start().UnixMicro())/1e6)
	for i, w := range c.cfg.Engine.WorkerStats() {
		out.worker(strconv.Itoa(i), &w)
	}
	if lost, err := c.cfg.Engine.RingDrops(); err == nil {
		out.put(mRingDrops, float64(lost))
	}
	list := c.rules()
	for _, r := range list.Rules {
		out.put(mFired, float64(r.Fired), r.Name)
		out.put(mEnabled, flag(r.Enabled), r.Name)
		out.put(mHeld, float64(r.Held), r.Name)
	}
	out.put(mReloads, float64(list.Generation))
	out.put(mLeases, float64(c.leases.count()))
	readers, waits := c.hub.count()
	out.put(mListeners, float64(readers))
	out.put(mWaits, float64(waits))
	out.put(mLost, float64(c.hub.lost.Load()))
}

// A sink takes values.
type sink struct{ out chan<- prometheus.Metric }

func (s sink) put(m metric, value float64, labels ...string) {
	s.out <- prometheus.MustNewConstMetric(m.desc, m.kind, value, labels...)
}

// sideNames call the devices what Engine calls them: clients are as a rule behind the near one.
var sideNames = [2]string{"near", "far"}

// worker puts the counters of one worker.
func (s sink) worker(name string, w *engine.WorkerStats) {
	for side, n := range w.Packets {
		s.put(mPackets, float64(n), name, sideNames[side])
		s.put(mBytes, float64(w.Bytes[side]), name, sideNames[side])
	}
	s.put(mSegments, float64(w.Segments), name)
	for v, n := range w.Verdicts {
		s.put(mVerdicts, float64(n), name, engine.Verdict(v).String())
	}
	for i, reason := range engine.OtherNames() {
		s.put(mOthers, float64(w.Others[i]), name, reason)
	}
	for i, reason := range engine.LossNames() {
		s.put(mLosses, float64(w.Losses[i]), name, reason)
	}
	s.put(mUntracked, float64(w.Untracked), name)
	s.put(mWhole, float64(w.Whole), name)
	s.put(mSwallowed, float64(w.Swallowed), name)
	s.put(mWaiting, float64(w.Waiting), name)
	s.put(mWaitBytes, float64(w.WaitBytes), name)
	s.put(mConns, float64(w.Connections), name)
	s.put(mOpened, float64(w.Opened), name)
	s.lateness(name, &w.Lateness)
}

// lateness puts a histogram; its last bucket has no bound.
func (s sink) lateness(name string, l *engine.Lateness) {
	buckets := make(map[float64]uint64)
	var below uint64
	var sum float64
	for i, n := range l {
		bound := engine.LatenessBound(i).Seconds()
		below += n
		sum += float64(n) * bound
		if i < len(l)-1 {
			buckets[bound] = below
		}
	}
	s.out <- prometheus.MustNewConstHistogram(mLateness.desc, l.Count(), sum, buckets, name)
}

func flag(on bool) float64 {
	if on {
		return 1
	}
	return 0
}
