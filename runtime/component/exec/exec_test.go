package exec_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"woodwork.dev/ww/runtime/bus"
	"woodwork.dev/ww/runtime/component"
	"woodwork.dev/ww/runtime/component/componenttest"
	"woodwork.dev/ww/runtime/component/exec"
	"woodwork.dev/ww/runtime/process"
)

// TestMain lets the test binary be the program that is run.
func TestMain(m *testing.M) {
	if os.Getenv("EXEC_TEST_PROGRAM") == "lines" {
		linesProgram()
		return
	}
	if os.Getenv("EXEC_TEST_PROGRAM") == "hog" {
		hog()
	}
	os.Exit(m.Run())
}

// linesProgram answers by what the payload says.
func linesProgram() {
	fmt.Fprintln(os.Stderr, "program started")
	var held []string
	sc := bufio.NewScanner(os.Stdin)
	sc.Buffer(nil, 32<<20)
	for sc.Scan() {
		var r struct {
			ID      string
			Session string `json:"session_id"`
			Sender  string
			Payload json.RawMessage
		}
		if err := json.Unmarshal(sc.Bytes(), &r); err != nil {
			panic(err)
		}
		var word string
		_ = json.Unmarshal(r.Payload, &word)
		switch word {
		case "who":
			fmt.Printf(`{"id":%q,"payload":"%s/%s"}`+"\n", r.ID, r.Session, r.Sender)
		case "stream":
			fmt.Printf(`{"id":%q,"chunk":"a"}`+"\n"+`{"id":%q,"chunk":"b"}`+"\n"+`{"id":%q,"payload":"ab"}`+"\n", r.ID, r.ID, r.ID)
		case "fail":
			fmt.Printf(`{"id":%q,"error":"try later"}`+"\n", r.ID)
		case "refuse":
			fmt.Printf(`{"id":%q,"error":"never","permanent":true}`+"\n", r.ID)
		case "neither":
			fmt.Printf(`{"id":%q}`+"\n", r.ID)
		case "no line break":
			fmt.Printf(`{"id":%q,"payload":"the end"}`, r.ID)
			os.Exit(0)
		case "nothing":
			fmt.Printf(`{"id":%q,"payload":null}`+"\n", r.ID)
		case "noise":
			fmt.Printf("not JSON\n"+`{"id":"unknown","payload":1}`+"\n"+`{"id":%q,"payload":"ok"}`+"\n", r.ID)
		case "last words":
			fmt.Printf(`{"id":%q,"payload":"bye"}`+"\n", r.ID)
			os.Exit(0)
		case "die":
			os.Exit(3)
		case "hang":
			select {}
		case "plain":
			fmt.Println("HELLO")
			select {}
		case "nameless":
			fmt.Println(`{"payload": "HELLO"}`)
			select {}
		case "hog":
			hog()
		case "endless line":
			for {
				fmt.Print(strings.Repeat("x", 1<<20))
			}
		case "hold":
			if held = append(held, r.ID); len(held) == 3 {
				for i := range held { // in the opposite order
					fmt.Printf(`{"id":%q,"payload":%q}`+"\n", held[2-i], held[2-i])
				}
				held = nil
			}
		default:
			fmt.Printf(`{"id":%q,"payload":%s}`+"\n", r.ID, r.Payload)
		}
	}
}

func build(t *testing.T, settings map[string]any) (*component.Instance, *componenttest.Buffer, error) {
	t.Helper()
	raw, err := json.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	env, logged := componenttest.Env(t, "core", "exec", string(raw))
	in, err := exec.Build(t.Context(), env)
	if err == nil && in.Close != nil {
		t.Cleanup(func() {
			if err := in.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	return in, logged, err
}

func mustBuild(t *testing.T, settings map[string]any) *component.Instance {
	t.Helper()
	in, _, err := build(t, settings)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func message(payload string) bus.Message {
	return bus.Message{ID: "m1", SessionID: "s1", Sender: "in", Payload: json.RawMessage(payload)}
}

func TestMessage(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct {
		name, payload string
		settings      map[string]any
		want          string
	}{
		{"text", `"hi\n\n"`, map[string]any{"command": "cat"}, `"hi\n"`},
		{"json on stdin", `{"a": 1}`, map[string]any{"command": []string{"cat"}}, `"{\"a\":1}"`},
		{"json result", `{"a": 1}`, map[string]any{"command": "cat", "output": "json"}, `{"a":1}`},
		{"no json result", `""`, map[string]any{"command": "cat", "output": "json"}, ``},
		{"environment", `""`, map[string]any{"command": []string{"sh", "-c", `echo $WW_SESSION_ID $WW_MESSAGE_ID $WW_SENDER $A $KEY`},
			"environment": map[string]any{"A": 5, "KEY": map[string]string{"$secret": "KEY"}}}, `"s1 m1 in 5 topsecret"`},
		{"environment list", `""`, map[string]any{"command": []string{"sh", "-c", `echo $A`}, "environment": []string{"A=x=y"}}, `"x=y"`},
		{"workdir", `""`, map[string]any{"command": "pwd", "workdir": dir}, `"` + dir + `"`},
		{"quotes", `""`, map[string]any{"command": `printf '%s|' "a b" c\ d 'e"f' ""`}, `"a b|c d|e\"f||"`},
		{"stdin that isn't read", `"` + strings.Repeat("x", 1<<20) + `"`, map[string]any{"command": "echo ok"}, `"ok"`},
		{"what stays behind", `""`, map[string]any{"command": []string{"sh", "-c", "sleep 60 & echo ok"}}, `"ok"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := mustBuild(t, tt.settings).Handle(t.Context(), message(tt.payload), nil)
			if err != nil || string(got) != tt.want {
				t.Errorf("got %.200s, %v", got, err)
			}
		})
	}
}

func TestMessageErrors(t *testing.T) {
	for _, tt := range []struct {
		name, script string
		permanent    bool
		want         []string
	}{
		{"status", "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do echo line $i >&2; done; exit 2", false, []string{"exit status 2: line 3\n", "line 12"}},
		{"data error", "echo wrong data >&2; exit 65", true, []string{"exit status 65: wrong data"}},
		{"usage", "exit 64", true, nil},
		{"configuration", "exit 78", true, nil},
		{"temporary", "exit 75", false, nil},
		{"beyond sysexits", "exit 79", false, nil},
		{"signal", "kill -9 $$", false, []string{"signal: killed"}},
		{"timeout", "echo stuck >&2; sleep 60 & sleep 60", false, []string{"sh ran for longer than 500ms and was killed", "stuck"}},
		{"output", "yes", true, []string{"the output is larger than"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			timeout := "30s"
			if tt.name == "timeout" {
				timeout = "500ms"
			}
			in := mustBuild(t, map[string]any{"command": []string{"sh", "-c", tt.script}, "timeout": timeout})
			began := time.Now()
			got, err := in.Handle(t.Context(), message(`""`), nil)
			if err == nil || bus.IsPermanent(err) != tt.permanent {
				t.Fatalf("got %s, %v", got, err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %q, want %q in it", err, want)
				}
			}
			if d := time.Since(began); d > 20*time.Second {
				t.Errorf("it took %s", d)
			}
		})
	}
}

func TestSettings(t *testing.T) {
	for _, tt := range []struct {
		settings map[string]any
		want     string
	}{
		{map[string]any{}, `setting "command" is missing`},
		{map[string]any{"command": "  "}, `setting "command" is missing`},
		{map[string]any{"command": `a "b`}, `setting "command": want an array of strings, or a string whose quotes are closed`},
		{map[string]any{"command": []string{""}}, `setting "command": want an array of strings, or a string whose quotes are closed`},
		{map[string]any{"command": "no-such-program-here"}, `setting "command": there is no program "no-such-program-here" where the component runs`},
		{map[string]any{"command": "/no/such/program", "mode": "lines"}, `setting "command": there is no program "/no/such/program" where the component runs`},
		{map[string]any{"command": "cat", "mode": "once"}, `setting "mode": want "message" or "lines"`},
		{map[string]any{"command": "cat", "output": "xml"}, `setting "output": want "text" or "json"`},
		{map[string]any{"command": "cat", "workdir": "/no/such/dir"}, `setting "workdir": there is no directory /no/such/dir`},
		{map[string]any{"command": "cat", "environment": []string{"x"}}, `setting "environment": want an object or an array of NAME=VALUE`},
		{map[string]any{"command": "cat", "environment": map[string]any{"a": []int{}}}, `setting "environment": want an object or an array of NAME=VALUE`},
	} {
		if _, _, err := build(t, tt.settings); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%v: got %v, want %s", tt.settings, err, tt.want)
		}
	}
}

func lines(t *testing.T, timeout string) (*component.Instance, *componenttest.Buffer) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	in, logged, err := build(t, map[string]any{"command": []string{self}, "mode": "lines", "timeout": timeout,
		"environment": []string{"EXEC_TEST_PROGRAM=lines"}})
	if err != nil {
		t.Fatal(err)
	}
	return in, logged
}

func TestLines(t *testing.T) {
	in, logged := lines(t, "30s")
	large := `"` + strings.Repeat("x", 4<<20) + `"`
	for _, tt := range []struct {
		payload, want, err string
		permanent          bool
	}{
		{`{"a": [1,"\n"]}`, `{"a":[1,"\n"]}`, "", false},
		{`"who"`, `"s1/in"`, "", false},
		{`"stream"`, `"ab"`, "", false},
		{`"nothing"`, ``, "", false},
		{`"noise"`, `"ok"`, "", false},
		{`"neither"`, ``, "neither payload, chunk nor error", false},
		{`"no line break"`, `"the end"`, "", false},
		{`"after that"`, `"after that"`, "", false},
		{`"fail"`, ``, "try later", false},
		{`"refuse"`, ``, "never", true},
		{`"last words"`, `"bye"`, "", false},
		{`"after that"`, `"after that"`, "", false},
		{`"die"`, ``, "the program ended", false},
		{large, large, "", false},
		{`"endless line"`, ``, "the program ended", false},
		{``, ``, "", false},
	} {
		var out componenttest.Out
		got, err := in.Handle(t.Context(), message(tt.payload), &out)
		if tt.payload == `"after that"` {
			// It may reach the program that is about to end; then it is tried again.
			for range 100 {
				if err == nil {
					break
				}
				got, err = in.Handle(t.Context(), message(tt.payload), &out)
			}
		}
		if string(got) != tt.want || (err != nil) != (tt.err != "") || bus.IsPermanent(err) != tt.permanent {
			t.Fatalf("%.100s: got %.100s, %v", tt.payload, got, err)
		}
		if err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: got %v", tt.payload, err)
		}
		if chunks := out.Chunks(); tt.payload == `"stream"` && strings.Join(chunks, "") != `"a""b"` {
			t.Errorf("chunks %q", chunks)
		}
	}
	for _, want := range []string{"program started", "no answer", "what nobody waits for", "is started again"} {
		if !strings.Contains(logged.String(), want) {
			t.Errorf("%q is not in the log:\n%s", want, logged)
		}
	}
}

func TestLinesAtTheSameTime(t *testing.T) {
	in, _ := lines(t, "30s")
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if _, err := in.Handle(t.Context(), message(`"hold"`), &componenttest.Out{}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestLinesTimeout(t *testing.T) {
	in, _ := lines(t, "1s")
	_, err := in.Handle(t.Context(), message(`"hang"`), &componenttest.Out{})
	if err == nil || !strings.Contains(err.Error(), "gave no answer within 1s") || bus.IsPermanent(err) {
		t.Fatalf("got %v", err)
	}
	if got, err := in.Handle(t.Context(), message(`"alive"`), &componenttest.Out{}); err != nil || string(got) != `"alive"` {
		t.Errorf("after it was killed: %s, %v", got, err)
	}
	for in, want := range map[string]string{
		"plain": "gave no answer within 1s; it wrote a line that is no answer: HELLO", "nameless": `no answer: {"payload": "HELLO"}`,
	} {
		h, _ := lines(t, "1s")
		if _, err := h.Handle(t.Context(), message(`"`+in+`"`), &componenttest.Out{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", in, err)
		}
	}
}

// TestLinesPause: the pause before a program is started again is none of the time
// that an answer has.
func TestLinesPause(t *testing.T) {
	in, _ := lines(t, "1s")
	for range 5 { // 100 ms to 1.6 s
		if _, err := in.Handle(t.Context(), message(`"die"`), &componenttest.Out{}); err == nil || strings.Contains(err.Error(), "within") {
			t.Fatalf("got %v", err)
		}
	}
	if got, err := in.Handle(t.Context(), message(`"alive"`), &componenttest.Out{}); err != nil || string(got) != `"alive"` {
		t.Errorf("after a pause of more than a second: %s, %v", got, err)
	}
}

func TestLinesStuckProgramIsKilledAtTheEnd(t *testing.T) {
	in, _, err := build(t, map[string]any{"command": []string{"sh", "-c", "trap '' TERM; sleep 60; sleep 60"}, "mode": "lines"})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(began); d > 20*time.Second {
		t.Errorf("it took %s", d)
	}
	if _, err := in.Handle(t.Context(), message(`1`), &componenttest.Out{}); err == nil {
		t.Error("a closed component handles messages")
	}
}

// TestMemory: a program that takes more than the component may is killed and says
// so, in both modes; the next message is handled.
func TestMemory(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for mode, want := range map[string]string{
		"lines":   self + ": killed: it used more than its 128m",
		"message": "sh was killed: it used more than its 128m",
	} {
		var logged componenttest.Buffer
		keeper := process.NewKeeper(nil, slog.New(slog.NewTextHandler(&logged, nil)))
		group := keeper.Group("c", process.Limits{Memory: 128 << 20})
		command := []string{self}
		if mode == "message" {
			command = []string{"sh", "-c", `read word; if [ $word = hog ]; then "$0" & wait $!; else echo $word; fi`, self}
		}
		raw, err := json.Marshal(map[string]any{"command": command, "mode": mode, "environment": []string{"EXEC_TEST_PROGRAM=" + map[string]string{"lines": "lines", "message": "hog"}[mode]}})
		if err != nil {
			t.Fatal(err)
		}
		env, _ := componenttest.Env(t, "core", "exec", string(raw))
		env.Processes = group
		in, err := exec.Build(t.Context(), env)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(logged.String(), "memory") {
			t.Skipf("memory has no limit here: %s", logged.String())
		}
		if _, err := in.Handle(t.Context(), message(`"hog"`), &componenttest.Out{}); err == nil || !strings.HasPrefix(err.Error(), want) || bus.IsPermanent(err) {
			t.Errorf("%s: got %v, want %s", mode, err, want)
		}
		if got, err := in.Handle(t.Context(), message(`"alive"`), &componenttest.Out{}); err != nil || string(got) != `"alive"` {
			t.Errorf("%s, afterwards: %s, %v", mode, got, err)
		}
		if in.Close != nil {
			err = in.Close()
		}
		if err := errors.Join(err, group.Close()); err != nil {
			t.Error(err)
		}
		keeper.Close()
	}
}

// hog takes memory until something ends it.
func hog() {
	for all := [][]byte{}; len(all) < 1024; {
		all = append(all, bytes.Repeat([]byte{1}, 1<<20))
		time.Sleep(100 * time.Microsecond)
	}
	os.Exit(1)
}
