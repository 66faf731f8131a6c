package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/dockerx"
	"woodwork.dev/ww/runtime/deploy"
	"woodwork.dev/ww/runtime/plan"
)

func (t *tool) cpCommand() *cli.Command {
	return &cli.Command{
		Name:      "cp",
		Usage:     "copy files from a container, or to a service's containers; `-` is a tar archive",
		ArgsUsage: "SERVICE:PATH PATH|-   or   PATH|- SERVICE:PATH",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Usage: "also to the containers of `run`"},
			&cli.BoolFlag{Name: "archive", Aliases: []string{"a"}, Usage: "keep owners"},
			&cli.BoolFlag{Name: "follow-link", Aliases: []string{"L"}, Usage: "copy what a symbolic link leads to"},
			indexFlag(),
		},
		Action: func(c *cli.Context) error {
			if c.NArg() != 2 {
				return &usageError{errors.New("name what to copy, and where to"), "ww compose cp SERVICE:PATH PATH, or ww compose cp PATH SERVICE:PATH"}
			}
			from, to := c.Args().Get(0), c.Args().Get(1)
			fromService, source := splitCopy(from)
			toService, target := splitCopy(to)
			if (fromService == "") == (toService == "") {
				return &usageError{errors.New("one side has to be a service's, and one this machine's"), "write SERVICE:PATH for the service's side; a path of this machine with a colon begins with ./"}
			}
			r, err := t.find(c.Context, c)
			if err != nil {
				return err
			}
			defer r.engine.Close()
			cs, err := t.pick(c, r, []string{fromService + toService}, c.Bool("all"))
			if err != nil {
				return err
			}
			if n := c.Int("index"); n != 0 {
				cs = slices.DeleteFunc(cs, func(ctr plan.Container) bool { return ctr.Number != n })
			}
			if len(cs) == 0 {
				return &configError{fmt.Errorf("service %q has no such container", fromService+toService), "`ww compose ps -a` lists those that are there"}
			}
			cp := copying{engine: r.engine, owners: c.Bool("archive"), follow: c.Bool("follow-link")}
			if fromService != "" {
				return copyError(cp.from(c.Context, cs[0].ID, source, target, t.out), cs[0], source)
			}
			if source == "-" && len(cs) > 1 {
				return &usageError{fmt.Errorf("service %q has %d containers, and standard input can be read once", toService, len(cs)), "--index says which one"}
			}
			return each(c, cs, func(ctx context.Context, ctr plan.Container) error {
				return copyError(cp.to(ctx, ctr.ID, source, target, t.in), ctr, path.Dir(path.Clean("/"+target)))
			})
		},
	}
}

// copyError says which path of a container isn't there.
func copyError(err error, ctr plan.Container, p string) error {
	var ee *deploy.EngineError
	if errors.As(err, &ee) && strings.Contains(ee.Err.Error(), "marked read-only") {
		ee.Remedy = "its root can't be written to, as that of components can't: copy into a volume of it, or build the file into its image"
		return named(err, ctr)
	}
	if !errors.As(err, &ee) || ee.Kind != deploy.NotFound || !strings.Contains(ee.Err.Error(), "Could not find the file") {
		return named(err, ctr)
	}
	return &usageError{
		fmt.Errorf("there is no %s in container %s", p, ctr.Name),
		fmt.Sprintf("`ww compose exec %s ls -la %s` shows what is there, where the image has ls", ctr.Service, path.Dir(path.Clean("/"+p))),
	}
}

// splitCopy takes SERVICE:PATH apart; a path of this machine has no service.
func splitCopy(arg string) (service, p string) {
	service, p, ok := strings.Cut(arg, ":")
	if !ok || service == "" || strings.ContainsAny(service, `/\.`) || filepath.VolumeName(arg) != "" {
		return "", arg
	}
	return service, p
}

// copying copies between a container and this machine.
type copying struct {
	engine         *dockerx.Engine
	owners, follow bool
}

// contentsOnly tells whether a path means what is in a folder, not the folder.
func contentsOnly(p string) bool { return p == "." || strings.HasSuffix(p, "/.") }

// from copies out of a container.
func (cp copying) from(ctx context.Context, id, source, target string, out io.Writer) error {
	abs := path.Clean("/" + source)
	if cp.follow {
		if s, err := cp.engine.StatPath(ctx, id, abs); err == nil && s.Mode&fs.ModeSymlink != 0 && s.Link != "" {
			abs = s.Link
		}
	}
	ask := abs
	if contentsOnly(source) {
		ask = strings.TrimSuffix(abs, "/") + "/."
	}
	body, stat, err := cp.engine.CopyFrom(ctx, id, ask)
	if err != nil {
		return err
	}
	defer body.Close()
	if target == "-" {
		_, err := io.Copy(out, body)
		return err
	}
	folder, name, err := landing(target, path.Base(abs), stat.Mode.IsDir(), contentsOnly(source))
	if err != nil {
		return err
	}
	err = unpack(body, folder, name, cp.owners)
	var failed *fs.PathError
	if errors.As(err, &failed) {
		at := filepath.Join(folder, failed.Path) // it is one of the folder's root
		return &fileError{fmt.Errorf("%s can't be written: %w", at, failed.Err), "copy into a folder that can be written to, or to - for an archive on standard output"}
	}
	return err
}

// landing says in which folder of this machine something arrives, and by which
// name: in a folder that is there by its own, else by the target's.
func landing(target, name string, isDir, contents bool) (folder, as string, err error) {
	info, err := os.Stat(target)
	switch {
	case err == nil && info.IsDir() && contents:
		return target, ".", nil
	case err == nil && info.IsDir():
		if name == "/" {
			name = "."
		}
		return target, name, nil
	case err == nil && isDir:
		return "", "", &usageError{fmt.Errorf("%s is a file, and what is copied a folder", target), "name a folder"}
	case err == nil:
	case !errors.Is(err, fs.ErrNotExist):
		return "", "", err
	case !isDir && strings.HasSuffix(target, string(filepath.Separator)):
		return "", "", &usageError{fmt.Errorf("there is no folder %s", target), "make it first"}
	}
	folder = filepath.Dir(filepath.Clean(target))
	if info, err := os.Stat(folder); err != nil || !info.IsDir() {
		return "", "", &usageError{fmt.Errorf("there is no folder %s", folder), "make it first"}
	}
	return folder, filepath.Base(filepath.Clean(target)), nil
}

// to copies into a container.
func (cp copying) to(ctx context.Context, id, source, target string, in io.Reader) error {
	abs := path.Clean("/" + target)
	stat, err := cp.engine.StatPath(ctx, id, abs)
	if err == nil && stat.Mode&fs.ModeSymlink != 0 && stat.Link != "" {
		abs = stat.Link
		stat, err = cp.engine.StatPath(ctx, id, abs)
	}
	there := err == nil
	if err != nil && ignoreGone(err) != nil {
		return err
	}
	if source == "-" {
		if !there || !stat.Mode.IsDir() {
			return &usageError{fmt.Errorf("%s isn't a folder of the container", target), "an archive is unpacked in a folder that is there"}
		}
		return cp.engine.CopyTo(ctx, id, abs, in, cp.owners)
	}
	if cp.follow {
		if source, err = followed(source); err != nil {
			return err
		}
	}
	info, err := os.Lstat(source)
	if err == nil && contentsOnly(source) {
		info, err = os.Stat(source)
	}
	if err != nil {
		return &usageError{err, "name a file or a folder of this machine"}
	}
	folder, name := path.Dir(abs), path.Base(abs)
	switch {
	case there && stat.Mode.IsDir() && contentsOnly(source):
		folder, name = abs, "."
	case there && stat.Mode.IsDir():
		full, err := filepath.Abs(source)
		if err != nil {
			return err
		}
		folder, name = abs, filepath.Base(full)
	case there && info.IsDir():
		return &usageError{fmt.Errorf("%s is a file in the container, and what is copied a folder", target), "name a folder"}
	case !there && !info.IsDir() && strings.HasSuffix(target, "/"):
		return &usageError{fmt.Errorf("there is no folder %s in the container", target), "make it first"}
	}
	r, w := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		err := pack(w, source, name, cp.owners)
		_ = w.CloseWithError(err) // it never fails
		packed <- err
	}()
	err = cp.engine.CopyTo(ctx, id, folder, r, cp.owners)
	_ = r.CloseWithError(io.ErrClosedPipe) // whoever still packs ends
	if broken := <-packed; broken != nil && !errors.Is(broken, io.ErrClosedPipe) {
		return broken // the engine only knows that the archive ended
	}
	return err
}

// followed is where a path leads when its last element is a symbolic link.
func followed(p string) (string, error) {
	real, err := filepath.EvalSymlinks(p)
	if err == nil && contentsOnly(p) {
		real += "/."
	}
	return real, err
}
