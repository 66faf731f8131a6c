package dockerx

import (
	"context"
	"fmt"
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if err := removeTestImage(); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

func removeTestImage() error {
	if os.Getenv("WW_TEST_ENGINE") == "off" {
		return nil
	}
	e, err := Open(context.Background(), Options{})
	if err != nil {
		return err
	}
	defer func() { _ = e.Close() }()
	return e.RemoveImage(context.Background(), testImage)
}
