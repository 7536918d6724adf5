// Reads Jaeger's query API with the types that Jaeger itself has for its answers, and prints what it
// read. Fields that the types do not have are an error.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"

	ui "github.com/jaegertracing/jaeger/model/json"
)

type answer[T any] struct {
	Data   []T   `json:"data"`
	Total  int   `json:"total"`
	Limit  int   `json:"limit"`
	Offset int   `json:"offset"`
	Errors []any `json:"errors"`
}

func get(path string) []byte {
	request, err := http.NewRequest(http.MethodGet, os.Args[1]+path, nil)
	check(err)
	request.Header.Set("Authorization", "Bearer "+os.Args[2])
	response, err := http.DefaultClient.Do(request)
	check(err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	check(err)
	if response.StatusCode != http.StatusOK {
		check(fmt.Errorf("%s: %s: %s", path, response.Status, body))
	}
	return body
}

func strict[T any](path string) T {
	var found T
	decoder := json.NewDecoder(bytes.NewReader(get(path)))
	decoder.DisallowUnknownFields()
	check(decoder.Decode(&found))
	return found
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	trace := os.Args[3]
	fmt.Println(strict[answer[string]]("/api/services").Data)
	fmt.Println(strict[answer[ui.Operation]]("/api/operations?service=bot").Data)
	for _, span := range strict[answer[ui.Trace]]("/api/traces/" + trace).Data[0].Spans {
		fmt.Println(span.TraceID, span.OperationName, span.StartTime, span.Duration)
	}
	strict[answer[ui.DependencyLink]]("/api/dependencies")
}
