// Validate judges manifests as the API server of a cluster does before it takes them: strict
// decoding, defaults, and Kubernetes' own validation of what is in a pod and in a ConfigMap.
//
//	go run . ../sidecar.yaml
//
// It is a module of its own, so that nothing of Kubernetes is among tcpmangle's requirements.
package main

import (
	"bytes"
	"fmt"
	"os"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/kubernetes/pkg/apis/core"
	"k8s.io/kubernetes/pkg/apis/core/v1"
	"k8s.io/kubernetes/pkg/apis/core/validation"
	"k8s.io/kubernetes/pkg/capabilities"
	"sigs.k8s.io/yaml"
)

func main() {
	capabilities.Setup(true, 0) // as a server that is called with --allow-privileged
	bad := false
	for _, file := range os.Args[1:] {
		for _, problem := range judge(file) {
			fmt.Printf("%s: %v\n", file, problem)
			bad = true
		}
	}
	if bad || len(os.Args) == 1 {
		os.Exit(1)
	}
}

// judge lists what is wrong with a file.
func judge(file string) (problems []error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return []error{err}
	}
	for _, document := range bytes.Split(text, []byte("\n---\n")) {
		problems = append(problems, judgeObject(document)...)
	}
	return problems
}

func judgeObject(document []byte) []error {
	var kind metav1.TypeMeta
	if err := yaml.Unmarshal(document, &kind); err != nil {
		return []error{err}
	}
	if kind.APIVersion != "v1" {
		return []error{fmt.Errorf("nobody here judges apiVersion %q", kind.APIVersion)}
	}
	switch kind.Kind {
	case "Pod":
		return judgePod(document)
	case "ConfigMap":
		return judgeConfigMap(document)
	}
	return []error{fmt.Errorf("nobody here judges a %q", kind.Kind)}
}

func judgePod(document []byte) []error {
	var given corev1.Pod
	var pod core.Pod
	if err := yaml.UnmarshalStrict(document, &given); err != nil {
		return []error{err}
	}
	given.Namespace = metav1.NamespaceDefault
	v1.SetObjectDefaults_Pod(&given)
	if err := v1.Convert_v1_Pod_To_core_Pod(&given, &pod, nil); err != nil {
		return []error{err}
	}
	return errorsOf(validation.ValidatePodCreate(&pod, validation.PodValidationOptions{}))
}

func judgeConfigMap(document []byte) []error {
	var given corev1.ConfigMap
	var config core.ConfigMap
	if err := yaml.UnmarshalStrict(document, &given); err != nil {
		return []error{err}
	}
	given.Namespace = metav1.NamespaceDefault
	if err := v1.Convert_v1_ConfigMap_To_core_ConfigMap(&given, &config, nil); err != nil {
		return []error{err}
	}
	return errorsOf(validation.ValidateConfigMap(&config))
}

func errorsOf(list field.ErrorList) (all []error) {
	for _, err := range list {
		all = append(all, err)
	}
	return all
}
