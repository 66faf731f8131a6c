package main

import (
	"slices"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/urfave/cli/v2"

	"woodwork.dev/ww/dockerx"
	"woodwork.dev/ww/runtime/plan"
)

func (t *tool) imagesCommand() *cli.Command {
	return &cli.Command{
		Name:      "images",
		Usage:     "list the images that the containers were made of",
		ArgsUsage: "[SERVICE…]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "ids alone"},
			formatFlag("table", "table or json"),
		},
		Action: func(c *cli.Context) error {
			if err := oneOf("format", c.String("format"), "table", "json"); err != nil {
				return err
			}
			r, err := t.find(c.Context, c)
			if err != nil {
				return err
			}
			defer r.engine.Close()
			cs, err := t.pick(c, r, c.Args().Slice(), true)
			if err != nil {
				return err
			}
			var ids []string
			for _, ctr := range cs {
				ids = append(ids, ctr.ImageID)
			}
			if c.Bool("quiet") {
				for i := range ids {
					ids[i] = strings.TrimPrefix(ids[i], "sha256:")
				}
				return t.printNames(ids)
			}
			images, err := r.engine.Images(c.Context, ids)
			if err != nil {
				return err
			}
			if c.String("format") == "json" {
				return t.printLine(imageEntries(cs, images))
			}
			return t.print("table", imageListing(cs, images, time.Now()))
		},
	}
}

// imageEntry is one container's image, as docker compose's JSON has it.
type imageEntry struct {
	ID            string
	ContainerName string
	Repository    string
	Tag           string
	Platform      string
	Size          int64
	Created       time.Time
	LastTagTime   time.Time
}

func imageEntries(cs []plan.Container, images map[string]dockerx.Image) []imageEntry {
	entries := []imageEntry{}
	for _, c := range cs {
		img := images[c.ImageID]
		repository, tag := splitReference(c.Image, img.Tags)
		entries = append(entries, imageEntry{c.ImageID, c.Name, repository, tag, img.Platform, img.Size, img.Created, img.LastTagTime})
	}
	return entries
}

// splitReference takes a reference apart. A container whose image's name another
// image has by now has only an id; the image may still have other names.
func splitReference(ref string, tags []string) (repository, tag string) {
	if strings.HasPrefix(ref, "sha256:") || !slices.Contains(tags, ref) && !slices.Contains(tags, ref+":latest") && len(tags) > 0 {
		ref = ""
		if len(tags) > 0 {
			ref = tags[0]
		}
	}
	if ref == "" {
		return "<none>", "<none>"
	}
	ref, _, _ = strings.Cut(ref, "@")
	if i := strings.LastIndexByte(ref, ':'); i > strings.LastIndexByte(ref, '/') {
		return ref[:i], ref[i+1:]
	}
	return ref, "latest"
}

func imageListing(cs []plan.Container, images map[string]dockerx.Image, now time.Time) listing {
	l := listing{columns: []column{
		{"CONTAINER", "ContainerName"}, {"REPOSITORY", "Repository"}, {"TAG", "Tag"}, {"PLATFORM", "Platform"},
		{"IMAGE ID", "ID"}, {"SIZE", "Size"}, {"CREATED", "Created"},
	}}
	for _, e := range imageEntries(cs, images) {
		l.rows = append(l.rows, map[string]any{
			"ContainerName": e.ContainerName, "Repository": e.Repository, "Tag": e.Tag, "Platform": e.Platform,
			"ID": shortID(e.ID), "Size": units.HumanSizeWithPrecision(float64(e.Size), 3), "Created": since(now, e.Created),
		})
	}
	return l
}
