package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const small = `
in = input api { port: $PORT  to: greet }
greet = core template { template: "Hello, {{ .payload }}!"  to: out }
out = output console {}
`

// TestKilledAtAnyMoment: wherever an up, an update or a down is killed, the
// next up finishes the job, and a down leaves nothing. WW_KILLS sets how often.
func TestKilledAtAnyMoment(t *testing.T) {
	t.Parallel()
	kills, seed := 8, uint64(7)
	for name, v := range map[string]any{"WW_KILLS": &kills, "WW_KILLS_SEED": &seed} {
		if env := os.Getenv(name); env != "" {
			if _, err := fmt.Sscan(env, v); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
	}
	s := newSystem(t, "killed", map[string]string{"main.ww": small})
	version := func(n int) {
		t.Helper()
		text := strings.ReplaceAll(small, "Hello,", fmt.Sprintf("Hello %d,", n))
		if err := os.WriteFile(filepath.Join(s.dir, "main.ww"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	timed := func(args ...string) time.Duration {
		begin := time.Now()
		s.ww(args...)
		return time.Since(begin)
	}
	up, down := []string{"compose", "up", "-d"}, []string{"compose", "down"}
	s.ww(up...) // builds the image, so that kills hit what comes after
	takes := map[string]time.Duration{"down": timed(down...)}
	takes["up"] = timed(up...)
	version(0)
	takes["update"] = timed(up...)
	rnd := rand.New(rand.NewPCG(seed, 8))
	hit := map[string]int{}
	for i := range kills {
		what := []string{"up", "update", "down"}[i%3]
		args := up
		switch what {
		case "up":
			s.ww(down...)
		case "update":
			version(i + 1)
		case "down":
			args = down
		}
		c := s.command(args...)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		after := time.Duration(rnd.Int64N(int64(takes[what])))
		time.AfterFunc(after, func() { _ = c.Process.Kill() })
		if c.Wait() != nil {
			hit[what]++
		}
		version(i + 1)
		told := s.ww(up...)
		if got, want := s.ww("send", "greet", "you"), fmt.Sprintf("Hello %d, you!\n", i+1); got != want {
			t.Fatalf("after a kill of %s at %v: %q, want %q\n%s", what, after, got, want, told)
		}
		if code, out := s.exit("compose", "plan", "--detailed-exitcode"); code != exitOK {
			t.Fatalf("after a kill of %s at %v and an up something is left to do: exit code %d\n%s\n%s", what, after, code, out, told)
		}
		if n := strings.Count(docker(t, "ps", "-aq", "--filter", "label=com.docker.compose.project="+s.name), "\n"); n != 4 {
			t.Fatalf("after a kill of %s at %v there are %d containers\n%s", what, after, n, told)
		}
		if i%5 == 4 || i == kills-1 {
			s.ww("compose", "down", "-v")
			if left := leftovers(t, s.name); left != "" {
				t.Fatalf("a kill of %s at %v left %s", what, after, left)
			}
			s.ww(up...)
		}
	}
	t.Logf("killed while at work: %v of %d", hit, kills)
	if len(hit) < 3 {
		t.Errorf("kills hit only %v", hit)
	}
	s.ww("compose", "down", "-v")
}

// TestCancelledAtAnyMoment: Ctrl-C during an up cleans up what it has made,
// and says so with its exit code.
func TestCancelledAtAnyMoment(t *testing.T) {
	t.Parallel()
	s := newSystem(t, "cancelled", map[string]string{"main.ww": small})
	s.ww("compose", "up", "-d")
	s.ww("compose", "down", "-v")
	rnd := rand.New(rand.NewPCG(9, 10))
	for range 10 {
		c := s.command("compose", "up", "-d")
		var out bytes.Buffer
		c.Stdout, c.Stderr = &out, &out
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		after := 50*time.Millisecond + time.Duration(rnd.Int64N(int64(2*time.Second)))
		time.AfterFunc(after, func() { _ = c.Process.Signal(os.Interrupt) })
		_ = c.Wait() // the exit code tells
		switch code := c.ProcessState.ExitCode(); code {
		case exitOK: // it was faster
			s.ww("compose", "down", "-v")
		case exitCancelled:
		default:
			t.Fatalf("cancelled after %v: exit code %d\n%s", after, code, out.String())
		}
		if left := leftovers(t, s.name); left != "" {
			t.Fatalf("cancelling after %v left %s\n%s", after, left, out.String())
		}
	}
}

// TestTwoAtOnce: of two ups of one project at the same time, one waits for the
// other and finds nothing left to do.
func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	s := newSystem(t, "two", map[string]string{"main.ww": small})
	s.ww("compose", "build", "--missing")
	for range 3 {
		var ups []*exec.Cmd
		var outs []*bytes.Buffer
		for range 2 {
			c, out := s.command("compose", "up", "-d"), &bytes.Buffer{}
			c.Stdout, c.Stderr = out, out
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			ups, outs = append(ups, c), append(outs, out)
		}
		all := ""
		for i, c := range ups {
			if err := c.Wait(); err != nil {
				t.Errorf("%v\n%s", err, outs[i])
			}
			all += outs[i].String()
		}
		if !strings.Contains(all, "another ww is at work") || !strings.Contains(all, "nothing to do") {
			t.Errorf("none waited:\n%s", all)
		}
		s.ww("compose", "down", "-v")
		if left := leftovers(t, s.name); left != "" {
			t.Fatalf("left: %s", left)
		}
	}
}

// TestSendToTheDead: whoever asks a component that has ended is told at once.
func TestSendToTheDead(t *testing.T) {
	t.Parallel()
	s := newSystem(t, "dead", map[string]string{"main.ww": small})
	s.ww("compose", "up", "-d")
	docker(t, "kill", s.name+"-greet-1")
	code, out := s.exit("send", "greet", "x")
	if code != exitComponent || !strings.Contains(out, "greet isn't running: exited (137)") {
		t.Errorf("exit code %d: %s", code, out)
	}
	s.ww("compose", "up", "-d")
	if got := s.ww("send", "greet", "you"); got != "Hello, you!\n" {
		t.Errorf("after another up: %q", got)
	}
	docker(t, "kill", s.name+"-message-bus-1")
	if code, out = s.exit("send", "greet", "x"); code != exitComponent || !strings.Contains(out, "message-bus isn't running") {
		t.Errorf("without a bus: exit code %d: %s", code, out)
	}
}

// TestForeground: an up without -d shows what components write, and goes down
// when it is interrupted.
func TestForeground(t *testing.T) {
	t.Parallel()
	s := newSystem(t, "foreground", map[string]string{"main.ww": small})
	c := s.command("compose", "up")
	out := watch("Ctrl-C takes it down")
	c.Stdout, c.Stderr = out, out
	up := out.seen
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- c.Wait() }()
	out.wait(t, "it doesn't come up", up)
	shown := out.expect("out-1 | Hello, you!")
	client := &http.Client{Timeout: time.Minute}
	res, err := client.Post("http://127.0.0.1:"+s.port()+"/", "application/json", strings.NewReader(`{"value": "you"}`))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Errorf("status %s", res.Status)
	}
	out.wait(t, "the component's output isn't shown", shown)
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		if err != nil {
			t.Fatalf("after Ctrl-C: %v\n%s", err, out.String())
		}
	case <-time.After(time.Minute):
		t.Fatalf("it doesn't end\n%s", out.String())
	}
	if ids := docker(t, "ps", "-aq", "--filter", "label=com.docker.compose.project="+s.name); ids != "" {
		t.Errorf("containers are left: %s", ids)
	}
	if vols := docker(t, "volume", "ls", "-q", "--filter", "label=com.docker.compose.project="+s.name); vols == "" {
		t.Error("the bus's volume is gone: Ctrl-C must not lose messages")
	}
}

// foreground brings the system up in the foreground, until it has written something.
func (s *system) foreground(t *testing.T, seen string) (c *exec.Cmd, out *watched, done <-chan error) {
	t.Helper()
	c, out = s.command("compose", "up"), watch(seen)
	c.Stdout, c.Stderr = out, out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	out.wait(t, "it doesn't come up", out.seen)
	return c, out, ended
}

// TestLastWords: what containers write while they go down is shown, all of it,
// and each end after it; also what has ended while the system came up.
func TestLastWords(t *testing.T) {
	t.Parallel()
	s := newSystem(t, "words", map[string]string{"compose.yml": `
services:
  job: {image: "busybox:stable", command: ["sh", "-c", "echo done"]}
  talker:
    image: busybox:stable
    stop_grace_period: 30s
    command: ["sh", "-c", "trap 'i=0; while [ $$i -lt 200 ]; do echo word $$i; i=$$((i+1)); done; exit 7' TERM; echo up; while :; do sleep 0.1; done"]
`})
	c, out, done := s.foreground(t, "talker-1 | up")
	out.wait(t, "nobody says how the job ended", out.expect(s.name+"-job-1 exited with code 0"))
	_ = c.Process.Signal(os.Interrupt)
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatalf("it doesn't end\n%s", out.String())
	}
	text := spaces.ReplaceAllString(out.String(), " ")
	at := strings.Index(text, "going down")
	for i := range 200 {
		next := strings.Index(text, fmt.Sprintf("talker-1 | word %d\n", i))
		if next < at {
			t.Fatalf("word %d is missing, or out of order\n%s", i, text)
		}
		at = next
	}
	if strings.Index(text, s.name+"-talker-1 exited with code 7") < at || strings.Count(text, "exited with code") != 2 {
		t.Errorf("the ends aren't told as they were\n%s", text)
	}
}

// TestSecondSignalKills: a component that doesn't stop is killed by the second
// Ctrl-C.
func TestSecondSignalKills(t *testing.T) {
	t.Parallel()
	s := newSystem(t, "kills", map[string]string{"main.ww": `
d = docker { components = { stubborn = {
    image = "busybox:stable"
    command = ["sh", "-c", "trap '' TERM; echo up; while :; do sleep 1; done"]
    stop_grace_period = 5m
} } }`})
	c, out, done := s.foreground(t, "stubborn-1 | up")
	next := out.expect("Ctrl-C again kills")
	_ = c.Process.Signal(os.Interrupt)
	out.wait(t, "the first signal isn't heard", next)
	_ = c.Process.Signal(os.Interrupt)
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatalf("the second signal doesn't kill\n%s", out.String())
	}
	if code := c.ProcessState.ExitCode(); code != exitCancelled {
		t.Errorf("exit code %d, want %d", code, exitCancelled)
	}
	if ids := docker(t, "ps", "-aq", "--filter", "label=com.docker.compose.project="+s.name); ids != "" {
		t.Errorf("containers are left: %s\n%s", ids, out.String())
	}
}

// TestSecrets: a key in the environment reaches the component that uses it,
// and is found nowhere else.
func TestSecrets(t *testing.T) {
	t.Parallel()
	const key = "sk-verysecret-0123456789"
	s := newSystem(t, "secrets", map[string]string{
		"main.ww": `
model = llm openai { model: "m"  base_url: "http://127.0.0.1:9/v1"  api_key: $TEST_API_KEY  to: out }
with_default = llm openai { model: "m"  base_url: "http://127.0.0.1:9/v1"  api_key: ${TEST_API_KEY:-none}  to: out }
show = core exec { image: "busybox:stable"  command: ["sh", "-c", "cat /run/secrets/*; env"]  environment: { A: $TEST_API_KEY } }
out = output console {}
`,
	})
	s.env = append(s.env, "TEST_API_KEY="+key)
	exported := s.ww("compose", "export")
	output := s.ww("compose", "up", "-d")
	code, sent := s.exit("send", "--timeout", "20s", "model", "hi")
	if code == 0 {
		t.Fatalf("there is an answer, though there is no server: %s", sent)
	}
	places := map[string]string{
		"the exported file": exported, "the output of up": output, "the answer": sent,
		"the logs": s.ww("compose", "logs"), "ps": s.ww("compose", "ps", "--format", "json"),
		"the plan": s.ww("compose", "plan", "--force-recreate"),
	}
	ids := strings.Fields(docker(t, "ps", "-aq", "--filter", "label=com.docker.compose.project="+s.name))
	if len(ids) != 5 {
		t.Fatalf("%d containers, want 5", len(ids))
	}
	places["docker inspect"] = docker(t, append([]string{"inspect"}, ids...)...)
	for _, image := range strings.Fields(s.ww("compose", "export", "--images")) {
		places["the history of "+image] = docker(t, "history", "--no-trunc", image)
		places["the image "+image] = docker(t, "image", "inspect", image)
	}
	for what, text := range places {
		if strings.Contains(text, key) {
			t.Errorf("%s contains the key:\n%s", what, excerpt(text, key))
		}
	}
	password, err := os.ReadFile(filepath.Join(s.dir, ".ww/secrets/bus_password"))
	if err != nil {
		t.Fatal(err)
	}
	for what, text := range places {
		if strings.Contains(text, strings.TrimSpace(string(password))) {
			t.Errorf("%s contains the bus's password", what)
		}
	}
	// That the key isn't seen proves something only if it was there.
	if got := s.ww("send", "show", "x"); strings.Count(got, key) != 2 {
		t.Errorf("the component has the key %d times, want its secret and its variable:\n%s", strings.Count(got, key), got)
	}
	info, err := os.Stat(filepath.Join(s.dir, ".ww/secrets"))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder of secrets: %v, %v", info.Mode(), err)
	}
}

func excerpt(text, key string) string {
	i := strings.Index(text, key)
	return text[max(0, i-200):min(len(text), i+len(key)+20)]
}

// TestHardened looks at what the engine was told.
func TestHardened(t *testing.T) {
	t.Parallel()
	s := newSystem(t, "hardened", map[string]string{"main.ww": small})
	s.ww("compose", "up", "-d")
	format := `{{.Name}} user={{.Config.User}} ro={{.HostConfig.ReadonlyRootfs}} drop={{.HostConfig.CapDrop}} opt={{.HostConfig.SecurityOpt}} ports={{.HostConfig.PortBindings}} binds={{.HostConfig.Binds}} mounts={{range .Mounts}}{{.Source}}:{{.Destination}} {{end}}`
	ids := strings.Fields(docker(t, "ps", "-aq", "--filter", "label=com.docker.compose.project="+s.name))
	for _, line := range strings.Split(strings.TrimSpace(docker(t, append([]string{"inspect", "--format", format}, ids...)...)), "\n") {
		for _, want := range []string{"ro=true", "drop=[ALL]", "no-new-privileges"} {
			if !strings.Contains(line, want) {
				t.Errorf("no %s: %s", want, line)
			}
		}
		if strings.Contains(line, "user= ") || strings.Contains(line, "user=0") || strings.Contains(line, "docker.sock") {
			t.Errorf("it runs as root, or has the engine's socket: %s", line)
		}
		isIngress := strings.Contains(line, "-in-1")
		if isIngress != strings.Contains(line, "127.0.0.1") || strings.Contains(line, "0.0.0.0") {
			t.Errorf("ports are open for ingress alone, on loopback: %s", line)
		}
	}
}

// TestDockerCompose: the exported file is docker compose's as well, with the
// same hashes, and neither tool recreates what the other made. It runs where
// COMPOSE names a docker-compose.
func TestDockerCompose(t *testing.T) {
	compose := os.Getenv("COMPOSE")
	if compose == "" {
		t.Skip("COMPOSE=path/to/docker-compose names the tool to compare with")
	}
	s := newSystem(t, "parity", map[string]string{"main.ww": small})
	run := func(args ...string) string {
		t.Helper()
		c := exec.Command(compose, args...)
		c.Dir, c.Env = s.dir, s.env
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("docker compose %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	s.ww("compose", "export", "-o", "docker-compose.yml")
	run("config", "-q")
	if ours, theirs := s.ww("compose", "export", "--hash", "*"), run("config", "--hash", "*"); ours != theirs {
		t.Errorf("hashes: ours\n%stheirs\n%s", ours, theirs)
	}
	containers := func() string {
		return docker(t, "ps", "-aq", "--no-trunc", "--filter", "label=com.docker.compose.project="+s.name)
	}
	s.ww("compose", "up", "-d")
	before := containers()
	run("up", "-d", "--wait")
	if after := containers(); after != before {
		t.Errorf("docker compose recreated containers:\n%s\n%s", before, after)
	}
	run("down", "-v")
	if left := leftovers(t, s.name); left != "" {
		t.Errorf("docker compose down left %s", left)
	}
	run("up", "-d", "--wait")
	if got := s.ww("send", "greet", "you"); got != "Hello, you!\n" {
		t.Errorf("under docker compose: %q", got)
	}
	before = containers()
	if out := s.ww("compose", "up", "-d"); !strings.Contains(out, "nothing to do") || containers() != before {
		t.Errorf("ww recreated what docker compose made: %s", out)
	}
	s.ww("compose", "-f", "docker-compose.yml", "up", "-d")
	if containers() != before {
		t.Error("ww recreated what docker compose made from the exported file")
	}
	s.ww("compose", "down", "-v")
	if left := leftovers(t, s.name); left != "" {
		t.Errorf("ww compose down left %s", left)
	}
}

// TestImagesOwnCheck: a check that comes with the image is asked at once, and
// not when the engine gets to it.
func TestImagesOwnCheck(t *testing.T) {
	t.Parallel()
	s := newSystem(t, "imagecheck", map[string]string{
		"Dockerfile":  "FROM busybox:stable\nHEALTHCHECK --interval=60s CMD test -f /ready\nCMD [\"sh\", \"-c\", \"touch /ready; trap 'exit 0' TERM; sleep 1000 & wait\"]\n",
		"compose.yml": "services:\n  a: {build: .}\n  b: {image: \"busybox:stable\", command: [sleep, \"1000\"], stop_signal: SIGKILL, depends_on: {a: {condition: service_healthy}}}\n",
	})
	begin := time.Now()
	s.ww("compose", "up", "-d", "--quiet")
	if took := time.Since(begin); took > 40*time.Second {
		t.Errorf("up took %v", took)
	}
	s.ww("compose", "down", "--rmi", "local", "--quiet")
}
