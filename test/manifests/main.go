// Command manifests reads the files for containers as Compose and Kubernetes would: unknown fields, wrong types and
// wrong forms are errors. It is a module of its own, as the product needs none of its libraries.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/compose-spec/compose-go/v2/cli"
	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	strict "sigs.k8s.io/yaml"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: manifests COMPOSE KUBERNETES...")
		os.Exit(2)
	}
	err := compose(os.Args[1])
	for _, file := range os.Args[2:] {
		err = errors.Join(err, kubernetes(file))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func compose(file string) error {
	options, err := cli.NewProjectOptions([]string{file}, cli.WithName("mailhatch"))
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	fmt.Printf("%s: %d services\n", file, len(project.Services))
	return nil
}

func kubernetes(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	var failed error
	read := 0
	for documents := yaml.NewDocumentDecoder(f); ; read++ {
		text := make([]byte, 1<<20)
		n, err := documents.Read(text)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if err := object(text[:n]); err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: object %d: %w", file, read+1, err))
		}
	}
	fmt.Printf("%s: %d objects\n", file, read)
	return failed
}

// object decodes one object strictly.
func object(text []byte) error {
	var head struct{ APIVersion, Kind string }
	if err := strict.Unmarshal(text, &head); err != nil {
		return err
	}
	into := map[string]any{
		"v1 Secret":                               &core.Secret{},
		"v1 ConfigMap":                            &core.ConfigMap{},
		"v1 Service":                              &core.Service{},
		"apps/v1 StatefulSet":                     &apps.StatefulSet{},
		"apps/v1 Deployment":                      &apps.Deployment{},
		"policy/v1 PodDisruptionBudget":           &policy.PodDisruptionBudget{},
		"networking.k8s.io/v1 NetworkPolicy":      &networking.NetworkPolicy{},
		"monitoring.coreos.com/v1 ServiceMonitor": &monitoring.ServiceMonitor{},
	}[head.APIVersion+" "+head.Kind]
	if into == nil {
		return fmt.Errorf("kind %s of %s is not known", head.Kind, head.APIVersion)
	}
	return strict.UnmarshalStrict(text, into)
}
