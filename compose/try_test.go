package compose
import ("testing";"context";"os";"fmt";"woodwork.dev/ww/templates";"woodwork.dev/ww/syntax")
func TestTry(t *testing.T){
 b,_:=templates.FindBinary("")
 l,err:=Load(context.Background(), Request{Files: []string{os.Getenv("F")}, Binary:b})
 if l!=nil { syntax.Render(os.Stdout,l.Diagnostics,l.Sources,false) }
 if err!=nil {t.Fatal(err)}
 if l.Project==nil {t.Fatal("none")}
 d,err:=l.Export(context.Background(), ExportOptions{}); if err!=nil{t.Fatal(err)}
 fmt.Println(string(d)); fmt.Println(l.Unset)
}
